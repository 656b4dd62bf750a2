"""Training and predicting click-through rates."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.evaluation import auc, log_loss
from rokkit.training.feed import Feed

EVALUATION_ROWS = 4096  # rows per forward pass without gradients


@runtime_checkable
class HasPenalty(Protocol):
    """A model that may add something to its loss."""

    def penalised(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(logits [B], one number or None)."""
        ...


class CTRTask:
    """Binary cross-entropy of a model's logits (Eq. 2), and the model's penalty if it has one.

    Metrics on the validation part: "auc", "log_loss" and "loss", which is the log-loss under the
    name every task has.
    """

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
        if isinstance(self.module, HasPenalty):
            logits, penalty = self.module.penalised(batch)
        else:
            logits = self.module(batch)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), batch.y)
        return loss if penalty is None else loss + penalty.float()

    def evaluate(self) -> dict[str, float]:
        """Metrics over the whole validation part, predicted in float32 whatever trained it."""
        p = predict(self.module, self.val)
        nats = log_loss(self.val.labels, p)
        return {"auc": auc(self.val.labels, p), "log_loss": nats, "loss": nats}


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
