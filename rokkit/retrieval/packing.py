"""Where each field lies in a bit-packed row, and in the hint that stands beside a posting."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WORD_BITS, HINT_BITS = 64, 32
# 2^32 over the golden ratio, odd: multiples spread their high bits, which hints tell of wide codes.
SPREAD = np.uint32(0x9E3779B1)


def lay_out(bits: Sequence[int]) -> tuple[int, list[tuple[int, int]]]:
    """Number of 64-bit words per row, and (word, shift) of each field, given its width in bits.

    Widest first, each into the first word with room, so no field crosses a word. The number of
    words is a power of two, so no row of up to 64 bytes crosses a cache line: five fields of a
    large log take 16 bytes.
    """
    used: list[int] = []
    places = [(0, 0)] * len(bits)
    for field in sorted(range(len(bits)), key=lambda f: -bits[f]):
        word = next((w for w, u in enumerate(used) if u + bits[field] <= WORD_BITS), len(used))
        if word == len(used):
            used.append(0)
        places[field] = (word, used[word])
        used[word] += bits[field]
    return 1 << (max(1, len(used)) - 1).bit_length(), places


def lay_out_hints(bits: Sequence[int]) -> NDArray[np.int64]:
    """[F, F, 2]: (shift, bits) of each field in the hints of each field's lists.

    A hint has 32 bits for the other fields, the field of the list itself left out. They share
    alike, and what a narrow field does not need, the wider ones have; of more than 32 others the
    narrowest get none.
    """
    plan = np.zeros((len(bits), len(bits), 2), np.int64)
    for of in range(len(bits)):
        others = sorted((f for f in range(len(bits)) if f != of), key=lambda f: bits[f])
        used = 0
        for i, field in enumerate(others):
            share = min(bits[field], (HINT_BITS - used) // (len(others) - i))
            plan[of, field] = used, share
            used += share
    return plan
