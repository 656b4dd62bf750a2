"""DeepCTR-Torch 0.3.0: `DeepFM`, `DIN`, `DIEN` and `fit`, from arrays in memory.

LR is its DeepFM without the products and without hidden layers. It casts every id to float32, so
ids above 2^24 would collide; there are none here. Without verbosity `fit` computes no metrics.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctr.arrays import Arrays
from ctr.frameworks import ATTENTION, EMBEDDING, EVALUATION_ROWS, HIDDEN, SEQUENCE, Case, Stage

HISTORY = ["item", "genre"]


class DeepCTR:
    """One model and the arrays it is trained on."""

    package = "deepctr-torch"

    def load(self) -> None:
        """What a user imports."""
        import deepctr_torch.inputs
        import deepctr_torch.models

        self.inputs = deepctr_torch.inputs
        self.models = deepctr_torch.models

    def build(self, arrays: Arrays, case: Case, folder: Path) -> None:
        """The model, compiled."""
        self.arrays, self.case = arrays, case
        self.model = self._model(arrays)
        self.model.compile("adam", "binary_crossentropy", metrics=[])  # Adam's own rate is 1e-3
        self.x, self.y = self._x("train"), arrays.y("train").astype(np.float32)
        self.test_rows = arrays.parts["test"]

    def _model(self, arrays: Arrays) -> Any:
        sparse = [
            self.inputs.SparseFeat(name, size + 1, EMBEDDING) for name, size in arrays.sizes.items()
        ]
        plain = {"l2_reg_embedding": 0.0, "seed": self.case.seed}
        if self.case.model in ("lr", "deepfm"):
            deep = self.case.model == "deepfm"
            return self.models.DeepFM(
                sparse,
                sparse if deep else [],
                use_fm=deep,
                dnn_hidden_units=HIDDEN if deep else (),
                l2_reg_linear=0.0,
                **plain,
            )
        behaviours = [
            self.inputs.VarLenSparseFeat(
                self.inputs.SparseFeat(
                    f"hist_{name}", arrays.sizes[name] + 1, EMBEDDING, embedding_name=name
                ),
                maxlen=arrays.longest,
                length_name="length",
            )
            for name in HISTORY
        ]
        if self.case.model == "din":
            return self.models.DIN(
                sparse + behaviours,
                HISTORY,
                dnn_hidden_units=HIDDEN,
                att_hidden_size=ATTENTION,
                att_activation="Dice",
                att_weight_normalization=True,
                **plain,
            )
        return self.models.DIEN(
            sparse + behaviours, HISTORY, gru_type="AUGRU", dnn_hidden_units=HIDDEN, **plain
        )

    def _x(self, part: str) -> dict[str, Any]:
        x: dict[str, Any] = dict(self.arrays.columns(part))
        if self.case.model in SEQUENCE:
            items, genres, lengths = self.arrays.history(part)
            x |= {"hist_item": items, "hist_genre": genres, "length": lengths}
        return x

    def epoch(self) -> None:
        """One epoch of `fit`."""
        self.model.fit(self.x, self.y, batch_size=self.case.batch, epochs=1, verbose=0)

    def predict(self, part: str) -> NDArray[np.floating[Any]]:
        """By `predict`."""
        found: NDArray[np.floating[Any]] = self.model.predict(self._x(part), EVALUATION_ROWS)
        return found

    def stages(self) -> list[Stage]:
        """The columns side by side as one float tensor, as its `predict` has them; forward."""
        import torch

        x = self._x("test")
        columns = [
            value[:, None] if value.ndim == 1 else value
            for value in (x[name] for name in self.model.feature_index)
        ]
        self.model.eval()

        def gather(rows: slice) -> Any:
            return torch.from_numpy(np.concatenate([c[rows] for c in columns], axis=-1)).float()

        return [("look-up", gather), ("forward", self.model)]
