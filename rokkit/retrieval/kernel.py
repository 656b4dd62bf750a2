"""The compiled loops of the exact search.

Everything compiled but `prefetch` lies in this one file: numba's cache on disk looks at the file of
the outermost function only, so a helper in another file could change without the cache noticing.

A hit is held as one int64 key, so that one comparison decides both score and tie:

    key = bits of the float32 score * 2^32 + (2^32 - 1) - row

Positive floats order like their bits, and of two equal scores the lower row has the larger key.

Beside each posting stands a hint, 32 bits in which the other fields of its row are told in short.
Where a field's bits differ from the query's, the field differs; where they are equal, it may be
equal. So most rows of a list are dismissed by what is read in sequence, 32 at once, and a packed
row, which lies anywhere, is fetched only if it can be among the best for all that its hint tells.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from rokkit.compiled import compiled
from rokkit.prefetch import prefetch
from rokkit.retrieval.packing import SPREAD

ONE_THREAD = True  # per call
# Up to this many matching fields the keys of all 2^n masks are tabulated per query; above it the
# sum is formed row by row, in the same order and so with the same bits.
TABLE_FIELDS = 9
BLOCK = 32  # postings whose hints are looked at together
AHEAD, LINE = 16 * BLOCK, 16  # postings that are fetched ahead; in a line of the cache
LEAST = 4  # of a block before k rows are held
LOW = 0xFFFFFFFF
ONE, ONE_32 = np.uint64(1), np.uint32(1)

# Columns of the plan, one row per searched field: a `Slot` of `segment`.
COLUMN, FIRST, SIZE, BASE, WORD, SHIFT, BITS = range(7)
HINT_SHIFT, HINT_BITS = range(2)  # last axis of a plan of hints


def _lowest_bit(_: Any, word: Any) -> Any:
    """Type and code of `lowest_bit(word)`: the place of the lowest bit set in a uint64, not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


lowest_bit: Callable[[np.uint64], np.uint64] = intrinsic(_lowest_bit)


@compiled
def count_and_pack(
    x: NDArray[np.int32],
    column: int,
    first: int,
    word: int,
    shift: int,
    counts: NDArray[np.int64],
    rows: NDArray[np.uint64],
) -> None:
    """Count the ids of one column of `x` [N, F] and write their codes into packed `rows` [N, W].

    The code of an id is id - first + 1; padding keeps code 0.
    """
    for i in range(x.shape[0]):
        value = np.int64(x[i, column])
        if value != 0:
            counts[value - first] += 1
            rows[i, word] |= np.uint64(value - first + 1) << np.uint64(shift)


@compiled
def _code(rows: NDArray[np.uint64], row: int, plan: NDArray[np.int64], slot: int) -> np.uint64:
    """The code of one field in a packed row."""
    ones = (ONE << np.uint64(plan[slot, BITS])) - ONE
    return np.uint64(rows[row, plan[slot, WORD]] >> np.uint64(plan[slot, SHIFT]) & ones)


@compiled
def _in_hint(code: np.uint64, width: int, shift: int, bits: int) -> np.uint32:
    """A code of `width` bits as a hint tells it in `bits`, at least 1: whole if it fits."""
    short = np.uint32(code)
    if bits < width:
        short = np.uint32(np.uint32(short * SPREAD) >> np.uint32(32 - bits))
    return np.uint32(short << np.uint32(shift))


@compiled
def fill_postings(
    rows: NDArray[np.uint64],
    plan: NDArray[np.int64],
    hint_plan: NDArray[np.int64],
    slot: int,
    cursor: NDArray[np.int64],
    postings: NDArray[np.int32],
    hints: NDArray[np.uint32],
) -> None:
    """Append each of the packed rows [N, W], and its hint, to the list of its code in `slot`.

    `cursor` [size] is where each list begins. Rows whose code is 0 are in none.
    """
    for i in range(rows.shape[0]):
        own = _code(rows, i, plan, slot)
        if own != 0:
            hint = np.uint32(0)
            for j in range(plan.shape[0]):
                shift, bits = hint_plan[slot, j, HINT_SHIFT], hint_plan[slot, j, HINT_BITS]
                if bits > 0:
                    hint |= _in_hint(_code(rows, i, plan, j), plan[j, BITS], shift, bits)
            at = cursor[np.int64(own) - 1]
            postings[at] = i
            hints[at] = hint
            cursor[np.int64(own) - 1] = at + 1


@compiled
def _key(
    mask: np.int64,
    n_live: int,
    weight: NDArray[np.float64],
    single: NDArray[np.float32],
    bits: NDArray[np.int32],
) -> np.int64:
    """Key at row 0 of a row that matches the fields in `mask`; the key at row r is r less."""
    total = 0.0
    for t in range(n_live):
        if mask >> t & 1:
            total += weight[t]
    single[0] = total  # the one cast; `bits` views the same four bytes
    return (np.int64(bits[0]) << 32) + LOW


@compiled
def _tabulate(
    table: NDArray[np.int64],
    sums: NDArray[np.float64],
    n_live: int,
    weight: NDArray[np.float64],
    single: NDArray[np.float32],
    bits: NDArray[np.int32],
) -> None:
    """Fill `table` [2^n_live] with the keys of all masks, adding in the order that `_key` does."""
    sums[0] = 0.0
    size = 1
    for t in range(n_live):
        for m in range(size):
            sums[size + m] = sums[m] + weight[t]
        size *= 2
    for m in range(size):
        single[m] = sums[m]
    for m in range(size):
        table[m] = (np.int64(bits[m]) << 32) + LOW


@compiled
def _insert(best: NDArray[np.int64], n: int, key: np.int64) -> None:
    """Put `key` among the `n` keys of the min-heap `best`, where there is room for it."""
    at = n
    while at > 0:
        parent = (at - 1) >> 1
        if best[parent] <= key:
            break
        best[at] = best[parent]
        at = parent
    best[at] = key


@compiled
def _replace_worst(best: NDArray[np.int64], n: int, key: np.int64) -> None:
    """Put `key` in the place of the smallest of the `n` keys of the min-heap `best`."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and best[child + 1] < best[child]:
            child += 1
        if best[child] >= key:
            break
        best[at] = best[child]
        at = child
    best[at] = key


@compiled
def _equal_in(hint: np.uint32, wanted: np.uint32, tops: np.uint32, rest: np.uint32) -> np.uint32:
    """The highest bits, of `tops`, of the fields whose bits in a hint equal the wanted ones.

    `rest` are the other bits of these fields, and carry into the highest if one below differs.
    """
    differs = np.uint32((hint ^ wanted) & (tops | rest))
    return np.uint32(~(np.uint32((differs & rest) + rest) | differs) & tops)


@compiled
def _with_any(
    hints: NDArray[np.uint32],
    begin: int,
    wanted: np.uint32,
    tops: np.uint32,
    rest: np.uint32,
    needed: np.uint32,
) -> np.uint64:
    """Bit j is set if of the `needed` fields one may match in the hint at begin + j, j < BLOCK."""
    found = np.uint32(0)
    for j in range(BLOCK):
        equal = np.uint32(_equal_in(hints[begin + j], wanted, tops, rest) & needed)
        found |= np.uint32(np.uint32(equal != 0) << np.uint32(j))
    return np.uint64(found)


@compiled
def _fields_in(equal: np.uint32, mask: np.int64, field_at: NDArray[np.int64]) -> np.int64:
    """`mask` and the fields of the bits set in `equal`, which `field_at` [32] names."""
    left = np.uint64(equal)
    while left:
        mask |= np.int64(1) << field_at[np.int64(lowest_bit(left))]
        left &= left - ONE
    return mask


@compiled
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
    """Search for the queries `q` [B, F]; the first query with a negative id, or -1.

    Writes `ids` [B, k] (-1 where there is no hit), `score_bits` [B, k] (the float32 scores seen as
    int32) and `touched` [B], the number of postings looked at.
    """
    k = ids.shape[1]
    n_fields = plan.shape[0]
    begin = np.empty(n_fields, np.int64)
    end = np.empty(n_fields, np.int64)
    weight = np.empty(n_fields, np.float64)
    order = np.empty(n_fields, np.int64)
    slot_of = np.empty(n_fields, np.int64)
    code_of = np.empty(n_fields, np.uint64)
    n_words = rows.shape[1]
    wanted = np.empty(n_words, np.uint64)  # the query, packed like a row
    top = np.empty(n_words, np.uint64)  # the highest bit of each field of the query
    rest = np.empty(n_words, np.uint64)  # their other bits
    done = np.empty(n_words, np.uint64)  # highest bits of the fields whose lists are done with
    top_of = np.empty(n_fields, np.uint64)
    word_of = np.empty(n_fields, np.int64)
    field_at = np.empty(64 * n_words, np.int64)  # by word and highest bit
    hint_top_of = np.empty(n_fields, np.uint32)
    hinted_at = np.empty(32, np.int64)  # by highest bit in a hint
    table = np.empty(1 << TABLE_FIELDS, np.int64)
    sums = np.empty(1 << TABLE_FIELDS, np.float64)
    single = np.empty(1 << TABLE_FIELDS, np.float32)
    bits = single.view(np.int32)
    best = np.empty(k, np.int64)
    chosen = np.empty(BLOCK, np.int64)  # rows of a block that can be among the best

    for b in range(q.shape[0]):
        # The lists of this query: fields whose id the pool holds, in field order.
        n_live = 0
        wanted[:], top[:], rest[:], done[:] = 0, 0, 0, 0
        for j in range(n_fields):
            value = np.int64(q[b, plan[j, COLUMN]])
            if value < 0:
                return b
            code = value - plan[j, FIRST]
            if value == 0 or code < 0 or code >= plan[j, SIZE]:
                continue
            at = plan[j, BASE] + code
            if starts[at] == starts[at + 1]:
                continue
            begin[n_live] = starts[at]
            end[n_live] = starts[at + 1]
            weight[n_live] = weights[at]
            prefetch(postings, starts[at])  # lists begin anywhere: all wait at once
            prefetch(hints, starts[at])
            slot_of[n_live] = j
            code_of[n_live] = code + 1
            w, shift = plan[j, WORD], plan[j, SHIFT]
            last = shift + plan[j, BITS] - 1
            top_of[n_live] = ONE << np.uint64(last)
            word_of[n_live] = w
            field_at[64 * w + last] = n_live
            wanted[w] |= np.uint64(code + 1) << np.uint64(shift)
            top[w] |= top_of[n_live]
            rest[w] |= top_of[n_live] - (ONE << np.uint64(shift))
            # Rarest first: the weight falls as a list grows.
            place = n_live
            while place > 0 and weight[order[place - 1]] < weight[n_live]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = n_live
            n_live += 1

        tabulated = n_live <= TABLE_FIELDS
        if tabulated:
            _tabulate(table, sums, n_live, weight, single, bits)
        limit = before[b]
        n = 0
        worst = np.int64(0)  # the smallest key held once k are held; no key is that small
        looked = 0
        open_fields = np.int64((1 << n_live) - 1)
        for p in range(n_live):
            # A row not in an earlier list matches the fields still open at the very most.
            bound = (
                table[open_fields] if tabulated else _key(open_fields, n_live, weight, single, bits)
            )
            if bound <= worst:
                break  # and later bounds are lower still
            field = order[p]
            # What the hints of this list tell of the other open fields.
            slot = slot_of[field]
            least = np.int64(1) << field  # what a row may match whatever its hint
            hint_wanted, hint_tops, hint_rest = np.uint32(0), np.uint32(0), np.uint32(0)
            for u in range(p + 1, n_live):
                other = order[u]
                j = slot_of[other]
                shift, width = hint_plan[slot, j, HINT_SHIFT], hint_plan[slot, j, HINT_BITS]
                if width == 0:
                    least |= np.int64(1) << other
                    continue
                highest = np.uint32(ONE_32 << np.uint32(shift + width - 1))
                hint_top_of[other] = highest
                hinted_at[shift + width - 1] = other
                hint_wanted |= _in_hint(code_of[other], plan[j, BITS], shift, width)
                hint_tops |= highest
                hint_rest |= np.uint32(highest - (ONE_32 << np.uint32(shift)))
            of_least = table[least] if tabulated else _key(least, n_live, weight, single, bits)
            needed = hint_tops
            needed_for = np.int64(-1)  # the worst key that `needed` was found for

            i, stop = begin[field], end[field]
            ended = False
            while i < stop and not ended:
                # Until k rows are held each must be fetched, so no more than are missing.
                full = n == k
                till = min(i + (BLOCK if full else min(BLOCK, max(k - n, LEAST))), stop)
                # Bit j of `found`: whether the row of posting i + j may be among the best.
                found = np.uint64(0)
                together = full and till - i == BLOCK
                if together:
                    first, last = np.int64(postings[i]), np.int64(postings[till - 1])
                    # Rows ascend: what holds for the last of them holds for all, and so on.
                    together = last < limit and bound - last > worst and of_least - first <= worst
                if together:
                    if worst != needed_for:
                        # A row that matches the weakest fields alone cannot be among the best: one
                        # of the others must match as well.
                        needed, needed_for = hint_tops, worst
                        weak = least
                        for u in range(n_live - 1, p, -1):
                            weak |= np.int64(1) << order[u]
                            of_weak = (
                                table[weak]
                                if tabulated
                                else _key(weak, n_live, weight, single, bits)
                            )
                            if of_weak - first > worst:
                                break
                            if not least >> order[u] & 1:
                                needed = np.uint32(needed & ~hint_top_of[order[u]])
                    if i + AHEAD + BLOCK <= stop:
                        for at in range(i + AHEAD, i + AHEAD + BLOCK, LINE):
                            prefetch(hints, at)
                            prefetch(postings, at)
                    found = _with_any(hints, i, hint_wanted, hint_tops, hint_rest, needed)
                else:
                    for at in range(i, till):
                        row = np.int64(postings[at])
                        # The list ascends, so a row that cannot win on a tie ends it.
                        if row >= limit or bound - row <= worst:
                            ended = True
                            till = at
                            break
                        if full and of_least - row <= worst:
                            equal = _equal_in(hints[at], hint_wanted, hint_tops, hint_rest)
                            if equal == 0:
                                continue
                        found |= ONE << np.uint64(at - i)
                looked += till - i

                n_chosen = 0
                while found:
                    at = i + np.int64(lowest_bit(found))
                    found &= found - ONE
                    row = np.int64(postings[at])
                    if full:
                        equal = _equal_in(hints[at], hint_wanted, hint_tops, hint_rest)
                        mask = _fields_in(equal, least, hinted_at)
                        most = (
                            table[mask] if tabulated else _key(mask, n_live, weight, single, bits)
                        )
                        if most - row <= worst:
                            continue
                    prefetch(rows, row)
                    chosen[n_chosen] = row
                    n_chosen += 1
                i = till

                for c in range(n_chosen):
                    row = chosen[c]
                    mask = np.int64(0)
                    earlier = False  # in a list that is done with
                    for w in range(n_words):
                        # A field equals the query's if no bit of it differs. `rest` carries into
                        # the highest bit if one below does, and never further.
                        differs = (rows[row, w] ^ wanted[w]) & (top[w] | rest[w])
                        same = ~(((differs & rest[w]) + rest[w]) | differs) & top[w]
                        if same & done[w]:
                            earlier = True
                            break
                        while same:
                            mask |= np.int64(1) << field_at[64 * w + np.int64(lowest_bit(same))]
                            same &= same - ONE
                    if earlier:
                        continue
                    at_row_0 = (
                        table[mask] if tabulated else _key(mask, n_live, weight, single, bits)
                    )
                    key = at_row_0 - row
                    if n < k:
                        _insert(best, n, key)
                        n += 1
                        if n == k:
                            worst = best[0]
                    elif key > worst:
                        _replace_worst(best, n, key)
                        worst = best[0]
            done[word_of[field]] |= top_of[field]
            open_fields &= ~(1 << field)

        touched[b] = looked
        for place in range(n, k):
            ids[b, place] = -1
            score_bits[b, place] = 0
        # Taking the worst away again and again fills the answer from its end.
        for place in range(n - 1, -1, -1):
            key = best[0]
            ids[b, place] = LOW - (key & LOW)
            score_bits[b, place] = key >> 32
            _replace_worst(best, place, best[place])
    return -1
