"""Training and predicting click-through rates."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.errors import DataError
from rokkit.evaluation import auc, log_loss
from rokkit.training.feed import Feed

EVALUATION_ROWS = 4096  # rows per forward pass without gradients


class CTRTask:
    """Binary cross-entropy of a model's logits (Eq. 2), and the model's penalty if it has one.

    A model that adds something to its loss while it trains has `penalised`, which maps a Batch to
    (logits [B], one number or None).

    Metrics on the validation part: "auc", "log_loss" and "loss", which is the log-loss under the
    name every task has. `predictions` [N] are those of the best evaluation made by this task, None
    if there was none (a training that was resumed after its best one).
    """

    predictions: NDArray[np.float32] | None = None

    def __init__(self, model: nn.Module, train: Feed, val: Feed) -> None:
        """`model` maps a Batch to logits [B]; both feeds are on its device."""
        self.module = model
        self.train = train
        self.val = val

    def loss(self, batch_rows: Int[Tensor, "B"]) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats and the model's own penalty, in float32 under autocast too."""
        batch = self.train.batch(batch_rows)
        assert batch.y is not None
        penalty: Tensor | None = None
        penalised = getattr(self.module, "penalised", None)
        if penalised is not None:
            logits, penalty = penalised(batch)
        else:
            logits = self.module(batch)
        wanted = self.targets(batch_rows, batch.y)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), wanted)
        return loss if penalty is None else loss + penalty.float()

    def targets(self, rows: Int[Tensor, "B"], y: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """What the logits are held against: the labels."""
        return y

    def evaluate(self) -> dict[str, float]:
        """Metrics over the whole validation part, predicted in float32 whatever trained it."""
        p = self._last = predict(self.module, self.val)
        nats = log_loss(self.val.labels, p)
        return {"auc": auc(self.val.labels, p), "log_loss": nats, "loss": nats}

    def keep(self) -> None:
        """Hold on to the predictions of the last evaluation."""
        self.predictions = self._last


class SoftTask(CTRTask):
    """A CTRTask whose train labels are mixed with a teacher's probabilities.

    The target is (1 - weight) y + weight p. Cross-entropy is linear in it, so that this is the
    weighted sum of the two losses: distillation of a logit at temperature 1. Validation is that of
    the labels.
    """

    def __init__(
        self, model: nn.Module, train: Feed, val: Feed, p: NDArray[np.float32], weight: float
    ) -> None:
        """`p` [N] are the teacher's probabilities of the samples of `train`."""
        super().__init__(model, train, val)
        require(0 <= weight <= 1, "weight", weight, "from 0 to 1")
        if p.shape != (len(train),):
            raise DataError(f"p has shape {p.shape}; expected [{len(train)}], one per sample.")
        self.weight = weight
        self._p = torch.from_numpy(p).to(train.device)

    def targets(self, rows: Int[Tensor, "B"], y: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Labels and probabilities mixed."""
        p = self._p.index_select(0, rows.to(self._p.device))
        return (1 - self.weight) * y + self.weight * p


def predict(
    model: nn.Module, feed: Feed, batch_size: int = EVALUATION_ROWS, amp: bool = False
) -> NDArray[np.float32]:
    """[N]: probabilities of every sample of `feed`, in its order.

    The model is put into eval mode and back. `amp` runs it under bfloat16 autocast, whose logits
    have 8 bits of precision: many predictions tie then.
    """
    require(batch_size >= 1, "batch_size", batch_size, "at least 1")
    with torch.autocast(feed.device.type, torch.bfloat16, enabled=amp):
        return over(model, feed, batch_size, lambda batch: model(batch).float().sigmoid())


def over(
    model: nn.Module, feed: Feed, batch_size: int, answer: Callable[[Batch], Tensor]
) -> NDArray[np.float32]:
    """[N, …]: `answer` to all of `feed`, in its order, while the model is in eval mode."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            blocks = [answer(feed.batch(rows)).float().cpu() for rows in feed.chunks(batch_size)]
    finally:
        model.train(was_training)
    found: NDArray[np.float32] = torch.cat(blocks).numpy()
    return found
