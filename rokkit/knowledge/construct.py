"""Knowledge construction, stage 1 of ROK (§4.3): a knowledge base learns to imitate a teacher.

Symbols: N samples of a part; B of a batch; F fields; R width of r; x_t a target, s_t its positive
neighbour; f, g, h embedding layer, encoder, projector; r the teacher's aggregate.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from rokkit.config import require
from rokkit.errors import ConfigError, DataError
from rokkit.knowledge.base import KnowledgeBase, Projector
from rokkit.knowledge.diagnostics import collapse_level, effective_rank, imitation_r2
from rokkit.knowledge.losses import construction_loss, contrastive_loss, imitation_loss
from rokkit.models.base import CTRModel
from rokkit.training.ctr import EVALUATION_ROWS
from rokkit.training.feed import Feed

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConstructConfig:
    """Settings of the construction loss. Raises ConfigError for a value outside its range."""

    alpha: float = 0.1  # weight of the contrastive loss against imitation (Eq. 8), 0 to 1
    positive: Literal["top", "random"] = "top"  # s_t: the best neighbour, or any of the K (§5.5.1)

    def __post_init__(self) -> None:
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "a number from 0 to 1 (Eq. 8)")
        known = ("top", "random")
        require(self.positive in known, "positive", self.positive, f"one of {', '.join(known)}")


def teacher_representations(
    model: CTRModel, feed: Feed, batch_size: int = EVALUATION_ROWS
) -> NDArray[np.float32]:
    """r [N, R] of every sample of `feed`, in its order; the teacher in eval mode, float32.

    A sample without neighbours is aggregated over none: its r is what the teacher makes of that.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            blocks = [
                model.aggregate(feed.batch(rows)).float().cpu() for rows in feed.chunks(batch_size)
            ]
    finally:
        model.train(was_training)
    found: NDArray[np.float32] = torch.cat(blocks).numpy()
    return found


class ConstructTask:
    """What `fit` needs to construct a knowledge base: Eq. 8 on train, the same on validation.

    Metrics, all on validation data in eval mode: "loss" (Eq. 8), "imitation" (Eq. 3),
    "contrastive" (Eq. 7), "r2" and one "r2_<block>" per block of r, "collapse" and
    "effective_rank" of z. The contrastive ones are there at alpha 0 too, to be looked at.

    r is learnt from train targets alone; that of validation targets selects the epoch. With
    `base.config.standardise` the base's buffers get the mean and spread of r over train, and every
    loss is taken in that space, so that alpha weighs terms of like scale.

    x_t and s_t pass through f, g and h one after the other, as in SimSiam, so each has its own
    BatchNorm statistics in training. Where x_t has no neighbour its own row stands in for s_t,
    which keeps padding out of those statistics, and the contrastive loss leaves the row out.
    DEVIATION(§4.3.2): at alpha 0 the pass of s_t is skipped in training; it would carry no gradient
    and only mix the neighbours' statistics into BatchNorm's running ones.
    """

    def __init__(
        self,
        base: KnowledgeBase,
        projector: Projector,
        config: ConstructConfig,
        *,
        train: Feed,
        val: Feed,
        r_train: NDArray[np.float32],
        r_val: NDArray[np.float32],
        blocks: Mapping[str, slice] | None = None,
    ) -> None:
        """`r_train` and `r_val` [N, R] come from `teacher_representations`.

        Both feeds need neighbours (`Feed(..., neighbours=)`) though their batches need not gather
        them. `blocks` are the teacher's `representation_blocks`.

        Raises ConfigError for a feed without neighbours and DataError for r that does not fit.
        """
        for feed, r in ((train, r_train), (val, r_val)):
            if not feed.has_neighbours:
                raise ConfigError(
                    f"feed of {feed.part!r} has no neighbours, and the contrastive loss (Eq. 7) "
                    "takes s_t from them; pass neighbours= to Feed."
                )
            if r.ndim != 2 or len(r) != len(feed) or not np.isfinite(r).all():
                raise DataError(
                    f"r of part {feed.part!r} has shape {r.shape}; expected [{len(feed)}, R] "
                    "finite numbers from teacher_representations of the same feed."
                )
        self.base = base
        self.projector = projector
        self.module = nn.ModuleDict({"base": base, "projector": projector})
        self.config = config
        self.train = train
        self.val = val
        self.blocks = dict(blocks or {})
        if base.config.standardise:
            set_standardisation(base, r_train)
        self._r_train = self._target(r_train, train)
        self._r_val = self._target(r_val, val)
        # Validation must not draw from the generators of training, and must be the same each time.
        counts = val.neighbour_counts(torch.arange(len(val)))
        generator = torch.Generator().manual_seed(0)
        self._val_columns = _columns(counts, config.positive, generator)
        self.positives = positive_shares(train)
        log.info("positives of %s: %s", train.part, self.positives)

    def loss(self, batch_rows: Int[Tensor, "B"]) -> Float[Tensor, ""]:
        """Eq. 8 on training rows, in float32 also under autocast."""
        r = self._r_train[batch_rows]
        x = self.train.batch(batch_rows).x
        z_x = self.base(x)
        if self.config.alpha == 0:
            return imitation_loss(z_x.float(), r)
        columns = _columns(self.train.neighbour_counts(batch_rows), self.config.positive)
        s, found = self.train.positives(batch_rows, columns)
        z_s = self.base(torch.where(found[:, None], s, x))
        p_x, p_s = self.projector(z_x), self.projector(z_s)
        return construction_loss(
            z_x.float(), r, p_x.float(), z_s.float(), p_s.float(), self.config.alpha, mask=found
        )

    def evaluate(self) -> dict[str, float]:
        """Losses and diagnostics over the whole validation part."""
        z_x, p_x, z_s, p_s, found = self._pass_val()
        r, alpha = self._r_val, self.config.alpha
        r2 = imitation_r2(z_x, r, self.blocks)
        return {
            "loss": float(construction_loss(z_x, r, p_x, z_s, p_s, alpha, mask=found)),
            "imitation": float(imitation_loss(z_x, r)),
            "contrastive": float(contrastive_loss(p_x, z_s, p_s, z_x, mask=found)),
            **{"r2" if name == "all" else f"r2_{name}": float(v) for name, v in r2.items()},
            "collapse": float(collapse_level(z_x)),
            "effective_rank": float(effective_rank(z_x)),
        }

    def _pass_val(
        self,
    ) -> tuple[
        Float[Tensor, "N R"],
        Float[Tensor, "N R"],
        Float[Tensor, "N R"],
        Float[Tensor, "N R"],
        Bool[Tensor, "N"],
    ]:
        """(z_x, p_x, z_s, p_s, found) of all validation rows."""
        parts = []
        for rows in self.val.chunks(EVALUATION_ROWS):
            x = self.val.batch(rows).x
            s, found = self.val.positives(rows, self._val_columns[rows])
            z_x, z_s = self.base(x), self.base(torch.where(found[:, None], s, x))
            parts.append((z_x, self.projector(z_x), z_s, self.projector(z_s), found))
        z_x, p_x, z_s, p_s, found = (torch.cat(held) for held in zip(*parts, strict=True))
        return z_x, p_x, z_s, p_s, found

    def _target(self, r: NDArray[np.float32], feed: Feed) -> Float[Tensor, "N R"]:
        held = torch.from_numpy(np.asarray(r, dtype=np.float32)).to(feed.device)
        return self.base.standardised(held)


def set_standardisation(base: KnowledgeBase, r_train: NDArray[np.float32]) -> None:
    """Write the mean and standard deviation of r over train targets into the base's buffers.

    A dimension that never varies keeps a spread of 1, so it becomes 0 and is not divided by 0.
    """
    mean = r_train.mean(0, dtype=np.float64)
    std = r_train.std(0, dtype=np.float64)
    std = np.where(std > 1e-6 * np.maximum(1, np.abs(mean)), std, 1.0)
    with torch.no_grad():
        base.r_mean.copy_(torch.from_numpy(mean))
        base.r_std.copy_(torch.from_numpy(std))


def positive_shares(feed: Feed) -> dict[str, float]:
    """What the contrastive loss is given: shares of the samples of `feed`.

    "identical": the best neighbour equals x_t in every field, so the contrast is trivially
    satisfied; "without": there is no neighbour, so the sample is left out.
    """
    identical = without = 0
    for rows in feed.chunks(EVALUATION_ROWS):
        s, found = feed.positives(rows)
        same = (s == feed.batch(rows).x).all(1)
        identical += int((same & found).sum())
        without += int((~found).sum())
    return {"identical": identical / len(feed), "without": without / len(feed)}


def _columns(
    counts: Int[Tensor, "B"],
    positive: Literal["top", "random"],
    generator: torch.Generator | None = None,
) -> Int[Tensor, "B"]:
    """The rank of s_t among each row's neighbours; 0 where there are none.

    Without a generator, torch's global one is drawn from: the loop saves and restores its state.
    """
    if positive == "top":
        return torch.zeros_like(counts)
    if generator is None:
        u = torch.rand(counts.shape, device=counts.device)
    else:  # on the CPU, so that every device validates on the same positives
        u = torch.rand(counts.shape, generator=generator).to(counts.device)
    # float32 can round a draw just below 1 times a count up to the count itself.
    return torch.minimum((u * counts).long(), (counts - 1).clamp(min=0))
