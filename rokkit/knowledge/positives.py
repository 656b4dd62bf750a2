"""Which neighbour of a sample is its positive s_t (§4.3.2, §5.5.1).

Symbols: N samples of a feed; B of a batch; F fields; K neighbours. Ranks count from 0, the best;
-1 is none.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from rokkit.errors import ConfigError, DataError
from rokkit.training.ctr import EVALUATION_ROWS
from rokkit.training.feed import Feed

# top: the best neighbour ("most related", the paper's); attn: that of the teacher's largest weight;
# random: any of the K (§5.5.1); same_label: the best one of the target's label, if there is any.
Positive = Literal["top", "attn", "random", "same_label"]


class Positives:
    """The positives of a feed."""

    def __init__(
        self, feed: Feed, positive: Positive, attention: NDArray[np.float32] | None = None
    ) -> None:
        """`attention` [N, K], from `teacher_attention` of the same feed, is what "attn" reads.

        Raises ConfigError if "attn" gets none, and DataError if it does not fit the feed.
        """
        self.feed = feed
        self.ranks: Int[Tensor, N] | None = None  # None: drawn anew each time
        if positive == "top":
            self.ranks = torch.zeros(len(feed), dtype=torch.int64, device=feed.device)
        elif positive == "attn":
            self.ranks = attention_ranks(feed, attention)
        elif positive == "same_label":
            self.ranks = same_label_ranks(feed)

    def fix(self, generator: torch.Generator) -> None:
        """Draw once for all, on the CPU, so that every device finds the same ones."""
        self.ranks = self.once(generator)

    def once(self, generator: torch.Generator) -> Int[Tensor, "N"]:
        """[N]: the rank of every sample's positive, drawn with `generator` if they are drawn."""
        if self.ranks is not None:
            return self.ranks
        return self._draw(torch.arange(len(self.feed)), generator)

    def of(self, rows: Int[Tensor, "B"]) -> tuple[Int[Tensor, "B F"], Bool[Tensor, "B"]]:
        """(s_t, found) of these rows; zeros and False for a row without a positive.

        Drawing takes torch's global generator, whose state the loop saves and restores.
        """
        ranks = self._draw(rows) if self.ranks is None else self.ranks[rows]
        return self.feed.positives(rows, ranks)

    def _draw(
        self, rows: Int[Tensor, "B"], generator: torch.Generator | None = None
    ) -> Int[Tensor, "B"]:
        counts = self.feed.neighbour_counts(rows)
        if generator is None:
            u = torch.rand(counts.shape, device=counts.device)
        else:
            u = torch.rand(counts.shape, generator=generator).to(counts.device)
        # float32 can round a draw just below 1 times a count up to the count itself.
        return torch.minimum((u * counts).long(), (counts - 1).clamp(min=0))


def attention_ranks(feed: Feed, attention: NDArray[np.float32] | None) -> Int[Tensor, "N"]:
    """[N]: the rank of the neighbour of the largest weight, the better one where two tie."""
    if attention is None:
        raise ConfigError(
            f"positive is 'attn' and no weights are given for part {feed.part!r}; pass those of "
            "teacher_attention."
        )
    counts = feed.neighbour_counts(torch.arange(len(feed))).cpu().numpy()
    expected = (len(feed), feed.agreeing(torch.arange(1)).shape[1])  # [N, K]
    if attention.shape != expected or not np.isfinite(attention).all():
        raise DataError(
            f"attention of part {feed.part!r} has shape {attention.shape}; expected "
            f"{list(expected)} finite numbers from teacher_attention of the same feed."
        )
    held = np.arange(attention.shape[1]) < counts[:, None]
    ranks = np.where(held, attention, -np.inf).argmax(1)  # of equal ones the first
    return torch.from_numpy(np.where(counts > 0, ranks, -1)).to(feed.device)


def same_label_ranks(feed: Feed) -> Int[Tensor, "N"]:
    """[N]: the rank of the best neighbour whose label is the sample's own."""
    ranks = []
    for rows in feed.chunks(EVALUATION_ROWS):
        agree = feed.agreeing(rows)
        first = agree.int().argmax(1)
        ranks.append(torch.where(agree.any(1), first, -1))
    return torch.cat(ranks)


def positive_shares(feed: Feed, ranks: Int[Tensor, "N"] | None = None) -> dict[str, float]:
    """What the contrastive loss is given: shares of the samples of `feed`.

    "identical": the positive equals x_t in every field, so the contrast is trivially satisfied;
    "without": there is none, so the sample is left out. `ranks` default to the best neighbour.
    """
    identical = without = 0
    for rows in feed.chunks(EVALUATION_ROWS):
        s, found = feed.positives(rows, 0 if ranks is None else ranks[rows])
        same = (s == feed.batch(rows).x).all(1)
        identical += int((same & found).sum())
        without += int((~found).sum())
    return {"identical": identical / len(feed), "without": without / len(feed)}
