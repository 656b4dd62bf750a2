"""FuxiCTR 2.3.10: the model classes of its model zoo, its npz loader and `fit`.

The wheel holds SIM (in LongCTR, with a loader of its own, which is used here); LR, DeepFM, DIN and
DIEN are in its repository alone: FUXICTR_ZOO names a clone. Its loaders run without worker
processes, for all have one thread. What stands in the way of an installation without Ray, and of
zoo files written for an earlier interface, is put right here.
"""

import importlib.util
import inspect
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctr.arrays import Arrays
from ctr.frameworks import (
    ATTENTION,
    ATTENTION_DIM,
    EMBEDDING,
    EVALUATION_ROWS,
    HEADS,
    HIDDEN,
    SEQUENCE,
    SHORT,
    TOP,
    Case,
    Stage,
)
from harness.answering import NotHere

CLASSES = {"lr": "LR", "deepfm": "DeepFM", "din": "DIN", "dien": "DIEN", "sim": "SIM"}
ZOO = "FUXICTR_ZOO"
RAY = ("ray", "ray.data", "ray.data.datasource", "ray.data.datasource.filename_provider")
DATA = "made"
FEW = 256  # rows that `fit` evaluates after an epoch, which it always does


class _Absent(ModuleType):
    """A module that is imported but never used."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class FuxiCTR:
    """One model and its loaders."""

    package = "fuxictr"
    fewest = 1

    def load(self) -> None:
        """What a user imports; Ray, which reads parquet, is stood in for where it is missing."""
        if importlib.util.find_spec("ray") is None:
            sys.modules.update({name: _Absent(name) for name in RAY})
        import fuxictr.features
        import fuxictr.pytorch.dataloaders.npz_dataloader
        import fuxictr.pytorch.models
        import fuxictr.pytorch.torch_utils

        self.features = fuxictr.features
        self.pytorch = fuxictr.pytorch

    def build(self, arrays: Arrays, case: Case, folder: Path) -> None:
        """The feature map, the data files, the model and its loaders."""
        self.arrays, self.case, self.folder = arrays, case, folder
        self.pytorch.torch_utils.seed_everything(case.seed)
        (folder / DATA).mkdir(exist_ok=True)  # where it keeps its checkpoint
        self.map = self._feature_map()
        if case.model == "sim":
            self._write_items()
        self.model = self._model()
        self.loader = self._loader("train", case.batch, shuffle=True)
        self.few = self._loader("train", FEW, rows=FEW)
        self.fewest = 2 if case.model == "dien" else 1  # its DIEN cannot answer one row
        self.test_rows = arrays.parts["test"]

    def _feature_map(self) -> Any:
        features: list[dict[str, Any]] = []
        for name, size in self.arrays.sizes.items():
            source = "item" if name in ("item", "genre") else ""
            held = {"type": "categorical", "source": source, "padding_idx": 0}
            features.append({name: held | {"vocab_size": size + 1}})
        if self.case.model == "sim":
            indices = ("user_index", "item_index", "seq_len")
            features += [{name: {"type": "meta", "source": ""}} for name in indices]
        elif self.case.model in SEQUENCE:
            for name in ("item", "genre"):
                held = {"type": "sequence", "source": "", "padding_idx": 0, "share_embedding": name}
                size = {"vocab_size": self.arrays.sizes[name] + 1, "max_len": self.arrays.longest}
                features.append({f"hist_{name}": held | size | {"feature_encoder": None}})
        total = sum(spec.get("vocab_size", 0) for one in features for spec in one.values())
        content = {
            "dataset_id": DATA,
            "labels": ["label"],
            "total_features": total,
            "features": features,
        }
        path = self.folder / "feature_map.json"
        path.write_text(json.dumps(content))
        made = self.features.FeatureMap(DATA, str(self.folder))
        made.load(str(path), {"embedding_dim": EMBEDDING})
        return made

    def _model(self) -> Any:
        common = {
            "optimizer": "adam",
            "loss": "binary_crossentropy",
            "metrics": ["AUC", "logloss"],
            "learning_rate": self.case.learning_rate,
            "reduce_lr_on_plateau": False,
            "verbose": 0,
            "model_root": str(self.folder),
        }
        name, wide = self.case.model, {"embedding_dim": EMBEDDING}
        target, sequence = [("item", "genre")], [("hist_item", "hist_genre")]
        own: dict[str, dict[str, Any]] = {
            "lr": {},
            "deepfm": wide | {"hidden_units": list(HIDDEN)},
            "din": wide
            | {
                "dnn_hidden_units": list(HIDDEN),
                "attention_hidden_units": list(ATTENTION),
                "attention_hidden_activations": "Dice",
                "din_target_field": target,
                "din_sequence_field": sequence,
                "din_use_softmax": True,
            },
            "dien": wide
            | {
                "dnn_hidden_units": list(HIDDEN),
                "dnn_activations": "ReLU",
                "batch_norm": False,
                "dien_target_field": target,
                "dien_sequence_field": sequence,
                "dien_neg_seq_field": [],
            },
            "sim": wide
            | {
                "dnn_hidden_units": list(HIDDEN),
                "short_seq_len": SHORT + 1,  # it counts the target
                "topk": TOP,
                "attention_dim": ATTENTION_DIM,
                "num_heads": HEADS,
            },
        }
        return self._class(name)(self.map, **common, **own[name])

    def _class(self, model: str) -> Any:
        """The class of a model: SIM from the wheel, the others from the zoo."""
        name = CLASSES[model]
        if model == "sim":
            import model_zoo.LongCTR

            return model_zoo.LongCTR.SIM
        places = (f"{name}/src/{name}.py", f"{name}/{name}_torch/src/{name}.py")
        held = [Path(os.environ.get(ZOO, ".")) / "model_zoo" / place for place in places]
        path = next((one for one in held if one.is_file()), None)
        if path is None:
            raise NotHere(f"{name} is not in its wheel; set {ZOO} to a clone of its repository.")
        spec = importlib.util.spec_from_file_location(f"zoo_{model}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = getattr(module, name)
        base = self.pytorch.models.BaseModel
        if len(inspect.signature(found.add_loss).parameters) == 2:
            # Written for the loop before this one, which handed over inputs; without an auxiliary
            # loss both are the same.
            found.add_loss = base.add_loss
        return found

    def _loader(self, part: str, batch: int, *, shuffle: bool = False, rows: int = 0) -> Any:
        path = self.folder / f"{part}{rows}"
        columns = {n: c[: rows or None] for n, c in self._columns(part).items()}
        if self.case.model == "sim":
            return self._long_loader(path, columns, batch, shuffle)
        np.savez(path.with_suffix(".npz"), **columns)
        return self.pytorch.dataloaders.npz_dataloader.NpzDataLoader(
            self.map, f"{path}.npz", batch_size=batch, shuffle=shuffle, num_workers=0
        )

    def _columns(self, part: str) -> dict[str, Any]:
        columns: dict[str, Any] = dict(self.arrays.columns(part))
        columns["label"] = self.arrays.y(part).astype(np.int32)
        if self.case.model == "sim":
            lengths = np.diff(self.arrays.user_histories[0])
            columns |= {"user_index": columns["user"], "item_index": columns["item"]}
            columns["seq_len"] = lengths[columns["user"] - 1].astype(np.int32)
            del columns["item"], columns["genre"]  # its loader looks them up
        elif self.case.model in SEQUENCE:
            items, genres, _ = self.arrays.history(part)
            columns |= {"hist_item": items, "hist_genre": genres}
        return columns

    def _long_loader(self, path: Path, columns: dict[str, Any], batch: int, shuffle: bool) -> Any:
        import pandas as pd
        from model_zoo.LongCTR.longctr_dataloader import LongCTRDataLoader

        pd.DataFrame(columns).to_parquet(path.with_suffix(".parquet"))
        return LongCTRDataLoader(
            self.map,
            f"{path}.parquet",
            str(self.folder / "users.parquet"),
            str(self.folder / "items.parquet"),
            batch_size=batch,
            shuffle=shuffle,
            num_workers=0,
            max_len=self.arrays.longest,
        )

    def _write_items(self) -> None:
        """What its long-sequence loader looks up: behaviours by user, genres by item."""
        import pandas as pd

        offsets, items = self.arrays.user_histories
        behaviours = [items[:0], *np.split(items, offsets[1:-1])]  # users count from 1
        users = pd.DataFrame({"full_item_seq": behaviours})
        users.to_parquet(self.folder / "users.parquet")
        every = np.arange(len(self.arrays.genre_of))
        table = {"item_index": every, "item": every, "genre": self.arrays.genre_of}
        pd.DataFrame(table).to_parquet(self.folder / "items.parquet")

    def epoch(self) -> None:
        """One epoch of `fit`."""
        self.model.fit(self.loader, epochs=1, validation_data=self.few)

    def predict(self, part: str) -> NDArray[np.floating[Any]]:
        """By `predict`."""
        found = self.model.predict(self._loader(part, EVALUATION_ROWS))
        return np.asarray(found, np.float64)

    def stages(self) -> list[Stage]:
        """Its own collation of rows; forward."""
        loader = self._loader("test", EVALUATION_ROWS)
        data, collate = loader.dataset, loader.collate_fn
        self.model.eval()

        def gather(rows: slice) -> Any:
            return collate([data[row] for row in range(rows.start, rows.stop)])

        return [("look-up", gather), ("forward", self.model)]
