"""The compiled loops of the exact search.

Everything compiled lies in this one file: numba's cache on disk looks at the file of the outermost
function only, so a helper in another file could change without the cache noticing.

A hit is held as one int64 key, so that one comparison decides both score and tie:

    key = bits of the float32 score * 2^32 + (2^32 - 1) - row

Positive floats order like their bits, and of two equal scores the lower row has the larger key.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from rokkit.compiled import compiled

ONE_THREAD = True  # per call
# Up to this many matching fields the keys of all 2^n masks are tabulated per query; above it the
# sum is formed row by row, in the same order and so with the same bits.
TABLE_FIELDS = 9
PREFETCH = 12  # rows ahead
LOW = 0xFFFFFFFF
ONE = np.uint64(1)

# Columns of the plan, one row per searched field: a `Slot` of `segment`.
COLUMN, FIRST, SIZE, BASE, WORD, SHIFT, BITS = range(7)


def _prefetch(_: Any, rows: Any, row: Any) -> Any:
    """Type and code of `prefetch(rows [N, W], row)`: start loading a row, wait for nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, arguments[0])
        index = context.cast(builder, arguments[1], signature.args[1], types.intp)
        zero = context.get_constant(types.intp, 0)
        pointer = cgutils.get_item_pointer(context, builder, kind, array, [index, zero])
        whole = ir.IntType(32)
        address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        form = ir.FunctionType(ir.VoidType(), [address.type, whole, whole, whole])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [address.type], form)
        # A read, to be kept in every cache level, of data.
        builder.call(hint, [address, whole(0), whole(3), whole(1)])
        return context.get_dummy_value()

    return types.void(rows, row), generate


prefetch: Callable[[NDArray[np.uint64], int], None] = intrinsic(_prefetch)


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
def fill_postings(
    x: NDArray[np.int32],
    column: int,
    first: int,
    cursor: NDArray[np.int64],
    postings: NDArray[np.int32],
) -> None:
    """Append each row to the list of its id; `cursor` [size] is where each list begins."""
    for i in range(x.shape[0]):
        value = np.int64(x[i, column])
        if value != 0:
            at = cursor[value - first]
            postings[at] = i
            cursor[value - first] = at + 1


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
def search(
    q: NDArray[np.int32],
    before: NDArray[np.int64],
    plan: NDArray[np.int64],
    starts: NDArray[np.int64],
    weights: NDArray[np.float64],
    postings: NDArray[np.int32],
    rows: NDArray[np.uint64],
    grouped: NDArray[np.uint64],
    grouped_slot: int,
    ids: NDArray[np.int32],
    score_bits: NDArray[np.int32],
    touched: NDArray[np.int32],
) -> int:
    """Search for the queries `q` [B, F]; the first query with a negative id, or -1.

    Writes `ids` [B, k] (-1 where there is no hit), `score_bits` [B, k] (the float32 scores seen as
    int32) and `touched` [B], the number of rows looked at.
    """
    k = ids.shape[1]
    n_fields = plan.shape[0]
    begin = np.empty(n_fields, np.int64)
    end = np.empty(n_fields, np.int64)
    weight = np.empty(n_fields, np.float64)
    order = np.empty(n_fields, np.int64)
    n_words = rows.shape[1]
    wanted = np.empty(n_words, np.uint64)  # the query, packed like a row
    top = np.empty(n_words, np.uint64)  # the highest bit of each field of the query
    rest = np.empty(n_words, np.uint64)  # their other bits
    done = np.empty(n_words, np.uint64)  # highest bits of the fields whose lists are done with
    top_of = np.empty(n_fields, np.uint64)
    word_of = np.empty(n_fields, np.int64)
    field_at = np.empty(64 * n_words, np.int64)  # by word and highest bit
    table = np.empty(1 << TABLE_FIELDS, np.int64)
    sums = np.empty(1 << TABLE_FIELDS, np.float64)
    single = np.empty(1 << TABLE_FIELDS, np.float32)
    bits = single.view(np.int32)
    best = np.empty(k, np.int64)
    first_grouped = starts[plan[max(grouped_slot, 0), BASE]]

    for b in range(q.shape[0]):
        # The lists of this query: fields whose id the pool holds, in field order.
        n_live = 0
        grouped_field = -1
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
            if j == grouped_slot:
                grouped_field = n_live
            begin[n_live] = starts[at]
            end[n_live] = starts[at + 1]
            weight[n_live] = weights[at]
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
            alone = np.int64(1) << field  # of most rows of a list no other field matches
            of_alone = table[alone] if tabulated else _key(alone, n_live, weight, single, bits)
            stop = end[field]
            # Grouped rows lie one after the other, which the processor sees by itself.
            in_order = field == grouped_field
            source = grouped if in_order else rows
            if not in_order:
                for i in range(begin[field], min(begin[field] + PREFETCH, stop)):
                    prefetch(rows, postings[i])
            for i in range(begin[field], stop):
                row = np.int64(postings[i])
                # The list ascends, so a row that cannot win on a tie ends it.
                if row >= limit or bound - row <= worst:
                    break
                if not in_order and i + PREFETCH < stop:
                    prefetch(rows, postings[i + PREFETCH])
                lies = i - first_grouped if in_order else row
                looked += 1
                mask = np.int64(0)
                earlier = False  # in a list that is done with
                for w in range(n_words):
                    # A field equals the query's if no bit of it differs. `rest` carries into the
                    # highest bit if one below does, and never further.
                    differs = (source[lies, w] ^ wanted[w]) & (top[w] | rest[w])
                    same = ~(((differs & rest[w]) + rest[w]) | differs) & top[w]
                    if same & done[w]:
                        earlier = True
                        break
                    while same:
                        mask |= np.int64(1) << field_at[64 * w + np.int64(lowest_bit(same))]
                        same &= same - ONE
                if earlier:
                    continue
                if mask == alone:
                    at_row_0 = of_alone
                elif tabulated:
                    at_row_0 = table[mask]
                else:
                    at_row_0 = _key(mask, n_live, weight, single, bits)
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
