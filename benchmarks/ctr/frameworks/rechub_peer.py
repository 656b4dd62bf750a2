"""torch-rechub 0.9.0: `DeepFM`, `DIN`, `DIEN`, its `DataGenerator` and `CTRTrainer`.

Fixed there: BatchNorm in every hidden layer, Dice in the head of DIN and DIEN, attention for each
feature apart, and no mask over padding in DIN. DIEN wants negative behaviours; they are drawn once,
and its auxiliary loss, which it always computes, is given no weight.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctr.arrays import Arrays
from ctr.frameworks import ATTENTION, EMBEDDING, EVALUATION_ROWS, HIDDEN, SEQUENCE, Case, Stage

HISTORY = ("item", "genre")


class RecHub:
    """One model and its loaders."""

    package = "torch-rechub"

    def load(self) -> None:
        """What a user imports."""
        import torch_rechub.basic.features
        import torch_rechub.models.ranking
        import torch_rechub.trainers
        import torch_rechub.utils.data

        self.features = torch_rechub.basic.features
        self.models = torch_rechub.models.ranking
        self.trainers = torch_rechub.trainers
        self.data = torch_rechub.utils.data

    def build(self, arrays: Arrays, case: Case, folder: Path) -> None:
        """The model, its trainer and a loader of the training rows."""
        import torch

        torch.manual_seed(case.seed)
        self.arrays, self.case = arrays, case
        self.model = self._model(arrays)
        self.trainer = self.trainers.CTRTrainer(
            self.model,
            optimizer_params={"lr": case.learning_rate, "weight_decay": 0.0},
            loss_mode=case.model != "dien",
            model_path=str(folder),
        )
        self.loader = self._loader("train", case.batch, at=0)
        self.test_rows = arrays.parts["test"]

    def _model(self, arrays: Arrays) -> Any:
        fields = {
            name: self.features.SparseFeature(
                name, vocab_size=size + 1, embed_dim=EMBEDDING, padding_idx=0
            )
            for name, size in arrays.sizes.items()
        }
        head = {"dims": list(HIDDEN)}
        if self.case.model == "deepfm":
            every = list(fields.values())
            return self.models.DeepFM(every, every, {**head, "activation": "relu"})
        target = [fields.pop(name) for name in HISTORY]
        others = list(fields.values())
        if self.case.model == "din":
            attention = {"dims": list(ATTENTION), "activation": "dice", "use_softmax": True}
            return self.models.DIN(others, self._sequences("hist"), target, head, attention)
        negatives = self._sequences("neg")
        return self.models.DIEN(others, self._sequences("hist"), negatives, target, head, alpha=0.0)

    def _sequences(self, prefix: str) -> list[Any]:
        return [
            self.features.SequenceFeature(
                f"{prefix}_{name}",
                vocab_size=self.arrays.sizes[name] + 1,
                embed_dim=EMBEDDING,
                pooling="concat",
                shared_with=name,
                padding_idx=0,
            )
            for name in HISTORY
        ]

    def _x(self, part: str) -> dict[str, Any]:
        x: dict[str, Any] = dict(self.arrays.columns(part))
        if self.case.model in SEQUENCE:
            items, genres, _ = self.arrays.history(part)
            x |= {"hist_item": items, "hist_genre": genres}
            if self.case.model == "dien":
                drawn = np.random.default_rng(0).integers(1, len(self.arrays.genre_of), items.shape)
                negatives = (drawn * (items > 0)).astype(np.int32)
                x |= {"neg_item": negatives, "neg_genre": self.arrays.genre_of[negatives]}
        return x

    def _loader(self, part: str, batch: int, at: int) -> Any:
        """Its train loader shuffles, its test loader does not; both come from one call."""
        x, y = self._x(part), self.arrays.y(part).astype(np.float32)
        few = {name: value[:1] for name, value in x.items()}
        generator = self.data.DataGenerator(x, y)
        held = (few, y[:1]) if at == 0 else (x, y)
        return generator.generate_dataloader(
            x_val=few, y_val=y[:1], x_test=held[0], y_test=held[1], batch_size=batch
        )[at]

    def epoch(self) -> None:
        """Its own epoch."""
        self.trainer.train_one_epoch(self.loader)

    def predict(self, part: str) -> NDArray[np.floating[Any]]:
        """By its trainer."""
        loader = self._loader(part, EVALUATION_ROWS, at=2)
        return np.array(self.trainer.predict(self.model, loader), np.float64)

    def stages(self) -> list[Stage]:
        """A tensor for each feature; forward."""
        import torch

        x = self._x("test")
        self.model.eval()

        def gather(rows: slice) -> Any:
            return {name: torch.from_numpy(value[rows]) for name, value in x.items()}

        return [("look-up", gather), ("forward", self.model)]
