"""Knowledge construction, stage 1 of ROK (§4.3): a knowledge base learns to imitate a teacher.

Symbols: N samples of a part; B of a batch; F fields; R width of r; x_t a target, s_t its positive
neighbour; f, g, h embedding layer, encoder, projector; r the teacher's aggregate.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from rokkit.config import require
from rokkit.data.sampling import stream
from rokkit.errors import ConfigError, DataError
from rokkit.knowledge.base import KnowledgeBase, Projector
from rokkit.knowledge.diagnostics import collapse_level, effective_rank, imitation_r2
from rokkit.knowledge.losses import construction_loss, contrastive_loss, imitation_loss
from rokkit.knowledge.positives import Positive, Positives, positive_shares
from rokkit.training.ctr import EVALUATION_ROWS
from rokkit.training.feed import Feed

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConstructConfig:
    """Settings of the construction loss. Raises ConfigError for a value outside its range.

    DEVIATION(§4.3.1): with `pool_rows` above 0, which is no part of the paper, the base imitates r
    of that many rows of the pool beside that of train targets, each row searched for among the
    others. On small or cold data it otherwise meets too few ids.
    """

    alpha: float = 0.1  # weight of the contrastive loss against imitation (Eq. 8), 0 to 1
    positive: Positive = "top"  # which neighbour is s_t (knowledge/positives.py)
    pool_rows: int = 0  # rows of the pool that join the train targets

    def __post_init__(self) -> None:
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "a number from 0 to 1 (Eq. 8)")
        known = get_args(Positive)
        require(self.positive in known, "positive", self.positive, f"one of {', '.join(known)}")
        require(self.pool_rows >= 0, "pool_rows", self.pool_rows, "at least 0")


def draw_pool_rows(pool: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """[wanted]: distinct rows of a pool of `pool` rows, ascending; uniform, the same for a seed.

    Raises ConfigError if the pool has fewer.
    """
    require(wanted <= pool, "pool_rows", wanted, f"at most the {pool} rows of the pool")
    drawn = stream(seed, "pool rows of construction").choice(pool, wanted, replace=False)
    return np.sort(drawn).astype(np.int64)


class ConstructTask:
    """What `fit` needs to construct a knowledge base: Eq. 8 on train, the same on validation.

    Metrics, all on validation data in eval mode: "loss" (Eq. 8), "imitation" (Eq. 3),
    "contrastive" (Eq. 7), "r2" and one "r2_<block>" per block of r, "collapse" and
    "effective_rank" of z. The contrastive ones are there at alpha 0 too, to be looked at.

    r is learnt from `train` alone: train targets, and pool rows if the feed was given some. That of
    validation targets selects the epoch. With `base.config.standardise` the base's buffers get the
    mean and spread of r over the rows it is learnt from, and every loss is taken in that space, so
    that alpha weighs terms of like scale.

    x_t and s_t pass through f, g and h one after the other, as in SimSiam, so each has its own
    BatchNorm statistics in training. Where x_t has no positive its own row stands in for s_t,
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
        attention_train: NDArray[np.float32] | None = None,
        attention_val: NDArray[np.float32] | None = None,
    ) -> None:
        """`r_train` and `r_val` [N, R] come from `teacher_representations`, and what `positive`
        "attn" needs besides, `attention_train` and `attention_val` [N, K], from
        `teacher_attention`.

        Both feeds need neighbours (`Feed(..., neighbours=)`) though their batches need not gather
        them. `blocks` are the teacher's `representation_blocks`.

        Raises ConfigError for a feed without neighbours or weights that are needed and missing,
        and DataError for r or weights that do not fit.
        """
        for feed, r in ((train, r_train), (val, r_val)):
            if not feed.has_neighbours:
                raise ConfigError(
                    f"feed of {feed.part!r} has no neighbours, and the contrastive loss (Eq. 7) "
                    "takes s_t from them; pass neighbours= to Feed."
                )
            expected = (len(feed), base.representation_dim)
            if r.shape != expected or not np.isfinite(r).all():
                raise DataError(
                    f"r of part {feed.part!r} has shape {r.shape}; expected {list(expected)} "
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
        self.positives = Positives(train, config.positive, attention_train)
        self._val_positives = Positives(val, config.positive, attention_val)
        # Validation must not draw from the generators of training, and must be the same each time.
        self._val_positives.fix(torch.Generator().manual_seed(0))
        shares = positive_shares(train, self.positives.once(torch.Generator().manual_seed(0)))
        log.info("positives of %s: %s", train.part, shares)

    def loss(self, batch_rows: Int[Tensor, "B"]) -> Float[Tensor, ""]:
        """Eq. 8 on training rows, in float32 also under autocast."""
        r = self._r_train[batch_rows]
        x = self.train.batch(batch_rows).x
        z_x = self.base(x)
        if self.config.alpha == 0:
            return imitation_loss(z_x.float(), r)
        s, found = self.positives.of(batch_rows)
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
            s, found = self._val_positives.of(rows)
            z_x, z_s = self.base(x), self.base(torch.where(found[:, None], s, x))
            parts.append((z_x, self.projector(z_x), z_s, self.projector(z_s), found))
        z_x, p_x, z_s, p_s, found = (torch.cat(held) for held in zip(*parts, strict=True))
        return z_x, p_x, z_s, p_s, found

    def _target(self, r: NDArray[np.float32], feed: Feed) -> Float[Tensor, "N R"]:
        held = torch.from_numpy(np.asarray(r, dtype=np.float32)).to(feed.device)
        return self.base.standardised(held)


def set_standardisation(base: KnowledgeBase, r_train: NDArray[np.float32]) -> None:
    """Write the mean and standard deviation of `r_train` [N, R] into the base's buffers.

    A dimension that never varies keeps a spread of 1, so it becomes 0 and is not divided by 0.
    """
    mean = r_train.mean(0, dtype=np.float64)
    std = r_train.std(0, dtype=np.float64)
    std = np.where(std > 1e-6 * np.maximum(1, np.abs(mean)), std, 1.0)
    with torch.no_grad():
        base.r_mean.copy_(torch.from_numpy(mean))
        base.r_std.copy_(torch.from_numpy(std))
