"""RecBole 1.2.1: `LR`, `DeepFM` and `DIN`, its atomic files, data loader and `Trainer`.

Fixed there: DIN's attention has the head's widths and sigmoids, its head Dice and BatchNorm, and it
leaves out the user's and the context's fields. All users and items are in its user and item files,
so that its tables are as long as everyone's. What newer libraries took away is put right here:
names of numpy, and tensorboard where it is not installed. It needs pandas below 3.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctr.arrays import Arrays
from ctr.frameworks import EMBEDDING, EVALUATION_ROWS, HIDDEN, SEQUENCE, Case, Stage

NAMES = {"lr": "LR", "deepfm": "DeepFM", "din": "DIN"}
DATA = "made"
PARTS = ("train", "val", "test")
GONE = {"float_": np.float64, "complex_": np.complex128, "unicode_": np.str_}  # of numpy 2


class _NoWriter:
    """Stands for tensorboard's writer, which the trainer calls once an epoch."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class RecBole:
    """One model, its data set and its trainer."""

    package = "recbole"

    def load(self) -> None:
        """What a user imports; `recbole.quick_start` itself would ask for Ray."""
        for name, kind in GONE.items():
            if not hasattr(np, name):
                setattr(np, name, kind)
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            stand_in = ModuleType("torch.utils.tensorboard")
            stand_in.SummaryWriter = _NoWriter  # type: ignore[attr-defined]
            sys.modules["torch.utils.tensorboard"] = stand_in
        import recbole.config
        import recbole.data
        import recbole.utils

        self.recbole = recbole

    def build(self, arrays: Arrays, case: Case, folder: Path) -> None:
        """Write its files, read them, make the model and its trainer."""
        self.arrays, self.case = arrays, case
        self._write(folder / DATA)
        name = NAMES[case.model]
        config = self.recbole.config.Config(
            model=name, dataset=DATA, config_dict=self._settings(folder)
        )
        self.recbole.utils.init_seed(case.seed, reproducibility=False)
        dataset = self.recbole.data.create_dataset(config)
        loaders = self.recbole.data.data_preparation(config, dataset)
        self.loader = loaders[0]
        self.sets = {part: one._dataset for part, one in zip(PARTS, loaders, strict=True)}
        self.model = self.recbole.utils.get_model(name)(config, self.loader._dataset)
        self.trainer = self.recbole.utils.get_trainer(config["MODEL_TYPE"], name)(
            config, self.model
        )
        self.test_rows = arrays.parts["test"]

    def _settings(self, folder: Path) -> dict[str, Any]:
        columns = ["user_id", "item_id", "label", "device", "hour"]
        sequence = self.case.model in SEQUENCE
        return {
            "data_path": str(folder),
            "checkpoint_dir": str(folder / "saved"),
            "use_gpu": False,
            "seed": self.case.seed,
            "reproducibility": False,
            "state": "ERROR",
            "show_progress": False,
            "benchmark_filename": list(PARTS),
            "load_col": {
                "inter": [*columns, "item_id_list"] if sequence else columns,
                "user": ["user_id", "city"],
                "item": ["item_id", "genre"],
            },
            "alias_of_item_id": ["item_id_list"] if sequence else None,
            "MAX_ITEM_LIST_LENGTH": self.arrays.longest,
            "epochs": 1,
            "train_batch_size": self.case.batch,
            "eval_batch_size": EVALUATION_ROWS,
            "learning_rate": self.case.learning_rate,
            "train_neg_sample_args": None,
            # The files are split already: its order and shares are asked for but not used.
            "eval_args": {"mode": "labeled", "order": "TO", "split": {"RS": [8, 1, 1]}},
            "metrics": ["AUC", "LogLoss"],
            "valid_metric": "AUC",
            "embedding_size": EMBEDDING,
            "mlp_hidden_size": list(HIDDEN),
            "dropout_prob": 0.0,
        }

    def _write(self, folder: Path) -> None:
        """Its atomic files: a header with types, columns apart by tabs."""
        folder.mkdir(exist_ok=True)
        users = np.arange(1, self.arrays.sizes["user"] + 1)
        city = np.ones(len(users), np.int64)
        for part in PARTS:
            columns = self.arrays.columns(part)
            city[columns["user"] - 1] = columns["city"]
            held = {"user_id:token": columns["user"], "item_id:token": columns["item"]}
            held |= {f"{name}:token": columns[name] for name in ("device", "hour")}
            held["label:float"] = self.arrays.y(part)
            if self.case.model in SEQUENCE:
                items, _, lengths = self.arrays.history(part)
                rows = zip(items.tolist(), lengths.tolist(), strict=True)
                held["item_id_list:token_seq"] = [" ".join(map(str, r[:n])) for r, n in rows]
            _table(folder / f"{DATA}.{part}.inter", held)
        _table(folder / f"{DATA}.user", {"user_id:token": users, "city:token": city})
        genres = self.arrays.genre_of[1:]
        items = np.arange(1, len(genres) + 1)
        _table(folder / f"{DATA}.item", {"item_id:token": items, "genre:token": genres})

    def epoch(self) -> None:
        """One epoch of its trainer's `fit`."""
        self.trainer.fit(self.loader, saved=False, verbose=False)

    def predict(self, part: str) -> NDArray[np.floating[Any]]:
        """By the model's `predict`, in the order of the file."""
        import torch

        data, blocks = self.sets[part], []
        self.model.eval()
        with torch.no_grad():
            for rows in np.array_split(np.arange(len(data)), -(-len(data) // EVALUATION_ROWS)):
                blocks.append(self.model.predict(data[rows]).numpy())
        return np.concatenate(blocks)

    def stages(self) -> list[Stage]:
        """Rows of its data set, joined with the users' and the items' columns; `predict`."""
        data = self.sets["test"]
        self.model.eval()

        def gather(rows: slice) -> Any:
            return data[np.arange(rows.start, rows.stop)]

        return [("look-up", gather), ("forward", self.model.predict)]


def _table(path: Path, columns: dict[str, Iterable[Any]]) -> None:
    rows = zip(*columns.values(), strict=True)
    with path.open("w", encoding="utf-8") as file:
        file.write("\t".join(columns) + "\n")
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)
