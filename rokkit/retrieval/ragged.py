"""The loops of the exact search where nothing can be compiled, as operations of torch.

The answers are those of `kernel`, to the bit: the same sums in the same order, one cast, the same
keys. A batch is walked in steps. In each, every query that is not done looks at the next postings
of its current list, a block of them; it leaves a list, or ends, for the same reasons as there, but
only after a block. What may lie on disk, postings and packed rows, is gathered by numpy, since
torch knows no read-only arrays.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rokkit.retrieval.packing import SPREAD

ONE_THREAD = False  # torch spreads an operation by itself

CELLS = 2**16  # (query, posting) looked at in one step: what a cache holds
BLOCK = 32  # postings of each query in the first step; twice as many in each that follows
LOW = 0xFFFFFFFF  # row 0 in a key of `kernel`


def count_and_pack(
    x: NDArray[np.int32],
    column: int,
    first: int,
    word: int,
    shift: int,
    counts: NDArray[np.int64],
    rows: NDArray[np.uint64],
) -> None:
    """As in `Loops`."""
    values = x[:, column].astype(np.int64)
    counts += np.bincount(values[values != 0] - first, minlength=len(counts))
    codes = np.where(values != 0, values - first + 1, 0)
    rows[:, word] |= codes.astype(np.uint64) << np.uint64(shift)


def fill_postings(
    rows: NDArray[np.uint64],
    plan: NDArray[np.int64],
    hint_plan: NDArray[np.int64],
    slot: int,
    cursor: NDArray[np.int64],
    postings: NDArray[np.int32],
    hints: NDArray[np.uint32],
) -> None:
    """As in `Loops`."""
    word, shift, bits = plan[:, 4:].astype(np.uint64).T
    codes = [
        rows[:, int(w)] >> s & (np.uint64(1) << b) - np.uint64(1)
        for w, s, b in zip(word, shift, bits, strict=True)
    ]
    order = torch.sort(torch.from_numpy(codes[slot].astype(np.int64)), stable=True).indices.numpy()
    held = order[int((codes[slot] == 0).sum()) :]
    hint = np.zeros(len(rows), np.uint32)
    for code, wide, (begin, share) in zip(codes, bits, hint_plan[slot], strict=True):
        if share > 0:
            short = code.astype(np.uint32)
            if share < wide:
                short = short * SPREAD >> np.uint32(32 - share)
            hint |= short << np.uint32(begin)
    if len(held):
        place = slice(cursor[0], cursor[0] + len(held))
        postings[place], hints[place] = held, hint[held]


def search(
    q: NDArray[np.int32],
    before: NDArray[np.int64],
    plan: NDArray[np.int64],
    hint_plan: NDArray[np.int64],
    starts: NDArray[np.int64],
    weights: NDArray[np.float64],
    postings: NDArray[np.int32],
    hints: NDArray[np.uint32],
    rows: NDArray[np.uint64],
    ids: NDArray[np.int32],
    score_bits: NDArray[np.int32],
    touched: NDArray[np.int32],
) -> int:
    """As in `Loops`; every row is fetched, whatever its hint."""
    (negative,) = np.nonzero((q[:, plan[:, 0]] < 0).any(axis=1))
    if len(negative):
        return int(negative[0])
    k = ids.shape[1]
    size = max(1, CELLS // (k + BLOCK))
    for at in range(0, len(q), size):
        part = slice(at, at + size)
        walk = _Walk(_lists(q[part], plan, starts, weights), before[part], k)
        while len(walk.active):
            walk.step(postings, rows)
        hit = walk.best > 0
        ids[part] = torch.where(hit, LOW - (walk.best & LOW), -1).numpy()
        score_bits[part] = (walk.best >> 32).numpy()
        touched[part] = walk.looked.numpy()
    return -1


@dataclass(frozen=True)
class _Lists:
    """The posting lists of B queries, in F fields; one that is empty weighs 0.

    In the order in which they are walked, rarest first, a list has a place, 0 to F - 1.
    """

    begin: Tensor  # [B, F] int64, as the next three
    end: Tensor
    wanted: Tensor  # bits of the field in a row that matches
    place: Tensor
    weight: Tensor  # [B, F] float64
    field: Tensor  # [B, F + 1] int64: at each place; 0 at the end
    bound: Tensor  # [B, F + 1] int64: no row in the lists from a place on has a larger key at row 0
    word: list[int]  # [F]
    mask: list[int]  # [F]: bits of the field in its word of a row


def _lists(
    q: NDArray[np.int32],
    plan: NDArray[np.int64],
    starts: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> _Lists:
    column, first, size, base, word, shift, bits = plan.T
    code = q[:, column].astype(np.int64) - first
    known = (code >= 0) & (code < size)  # ids begin at 1, so padding is not
    lists = (base + code)[known]
    begin, end = np.zeros_like(code), np.zeros_like(code)
    weight = np.zeros(code.shape)
    begin[known], end[known] = starts[lists], starts[lists + 1]
    weight[known] = np.where(begin[known] < end[known], weights[lists], 0.0)
    wanted = np.where(known, code + 1, 0).astype(np.uint64) << shift.astype(np.uint64)
    ones = (np.uint64(1) << bits.astype(np.uint64)) - np.uint64(1)
    mask = (ones << shift.astype(np.uint64)).view(np.int64)

    order = np.argsort(-weight, axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    totals = np.zeros((len(q), len(plan) + 1))
    for f in range(len(plan)):  # added in the order in which a row's sum is
        is_open = place[:, f, None] >= np.arange(len(plan) + 1)
        totals += np.where(is_open, weight[:, f, None], 0.0)
    total = torch.from_numpy(totals)
    return _Lists(
        begin=torch.from_numpy(begin),
        end=torch.from_numpy(end),
        wanted=torch.from_numpy(wanted.view(np.int64)),
        place=torch.from_numpy(place),
        weight=torch.from_numpy(weight),
        field=torch.from_numpy(np.pad(order, ((0, 0), (0, 1)))),
        bound=torch.where(total > 0, _keys(total), 0),
        word=word.tolist(),
        mask=mask.tolist(),
    )


def _keys(total: Tensor) -> Tensor:
    """Keys at row 0 of rows whose weights sum to `total`, as `kernel` has them."""
    return (total.float().view(torch.int32).long() << 32) + LOW


class _Walk:
    """Where each of B queries stands, and the keys of the best rows it has met."""

    def __init__(self, lists: _Lists, limits: NDArray[np.int64], k: int) -> None:
        n = len(limits)
        self.lists = lists
        self.limits = torch.from_numpy(limits.copy())
        self.place = torch.zeros(n, dtype=torch.int64)  # of the current list
        self.at = lists.begin.gather(1, lists.field[:, :1]).squeeze(1)  # in the postings
        self.best = torch.zeros((n, k), dtype=torch.int64)  # best first; 0: none yet
        self.looked = torch.zeros(n, dtype=torch.int32)
        self.block = BLOCK
        self.active = self._undecided(torch.arange(n))  # queries that are not done

    def step(self, postings: NDArray[np.int32], rows: NDArray[np.uint64]) -> None:
        """Look at the next block of postings of every active query."""
        lists, active, place = self.lists, self.active, self.place[self.active]
        field = lists.field[active, place]
        begin, end = self.at[active, None], lists.end[active, field, None]
        width = max(1, min(self.block, CELLS // len(active), int((end - begin).max())))
        self.block *= 2
        at = begin + torch.arange(width)
        taken = np.take(postings, at.clamp(max=len(postings) - 1).numpy())
        row = torch.from_numpy(taken.astype(np.int64))
        bound, worst = lists.bound[active, place, None], self.best[active, -1:]
        # Rows ascend, so all three hold up to some posting and for none after it.
        worth = (at < end) & (row < self.limits[active, None]) & (bound - row > worst)
        self.looked[active] += worth.sum(1, dtype=torch.int32)
        packed = torch.from_numpy(rows[taken].view(np.int64))
        keys = torch.where(worth, self._fresh_keys(packed, place) - row, 0)
        keys = torch.cat([self.best[active], keys.clamp(min=0)], 1)
        self.best[active] = keys.topk(self.best.shape[1], 1).values

        follows = at[:, -1] + 1
        goes_on = worth[:, -1] & (follows < end[:, 0])
        place = torch.where(goes_on, place, place + 1)
        anew = lists.begin[active, lists.field[active, place]]
        self.place[active], self.at[active] = place, torch.where(goes_on, follows, anew)
        self.active = self._undecided(active)

    def _fresh_keys(self, packed: Tensor, place: Tensor) -> Tensor:
        """[A, S]: keys at row 0 of rows [A, S, W]; 0 of those that an earlier list held as well."""
        lists, active = self.lists, self.active
        total = torch.zeros(packed.shape[:2], dtype=torch.float64)
        met = torch.zeros(packed.shape[:2], dtype=torch.bool)
        for f, (word, mask) in enumerate(zip(lists.word, lists.mask, strict=True)):
            same = (packed[:, :, word] & mask) == lists.wanted[active, f, None]
            total += torch.where(same, lists.weight[active, f, None], 0.0)
            met |= same & (lists.place[active, f] < place)[:, None]
        return torch.where(met, 0, _keys(total))

    def _undecided(self, queries: Tensor) -> Tensor:
        """Those of `queries` with a list left in which a row may be that enters the best."""
        bound = self.lists.bound[queries, self.place[queries]]
        return queries[bound > self.best[queries, -1]]
