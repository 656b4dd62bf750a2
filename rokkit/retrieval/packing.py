"""Where each field lies in a bit-packed row."""

from collections.abc import Sequence

WORD_BITS = 64


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
