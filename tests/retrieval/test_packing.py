"""rokkit.retrieval.packing: fields never overlap and never cross a word."""

from hypothesis import given
from hypothesis import strategies as st

from rokkit.retrieval.packing import lay_out, lay_out_hints


@given(st.lists(st.integers(0, 32), min_size=1, max_size=62))
def test_no_bit_is_used_twice(bits: list[int]) -> None:
    words, places = lay_out(bits)
    used: set[tuple[int, int]] = set()
    for width, (word, shift) in zip(bits, places, strict=True):
        assert 0 <= word < words
        assert shift + width <= 64 or width == 0
        mine = {(word, shift + i) for i in range(width)}
        assert not used & mine
        used |= mine
    assert words & (words - 1) == 0  # a power of two: no short row crosses a cache line


def test_paper_sized_fields_take_sixteen_bytes() -> None:
    # Tmall: 424,170 users, 1,090,390 items, 1,658 categories, 4,995 sellers, 8,444 brands, ages,
    # genders, actions, 184 days.
    sizes = [424_170, 1_090_390, 1_658, 4_995, 8_444, 9, 3, 4, 184]
    assert lay_out([size.bit_length() for size in sizes])[0] == 2
    assert lay_out([10, 3])[0] == 1
    assert lay_out([32] * 5)[0] == 4


@given(st.lists(st.integers(1, 32), min_size=1, max_size=62))
def test_hints_tell_each_other_field_once(bits: list[int]) -> None:
    plan = lay_out_hints(bits)
    assert plan.shape == (len(bits), len(bits), 2)
    for of, told in enumerate(plan.tolist()):
        assert told[of] == [0, 0]
        used: set[int] = set()
        for width, (shift, share) in zip(bits, told, strict=True):
            mine = set(range(shift, shift + share))
            assert not used & mine
            assert share <= width
            used |= mine
        others = sum(bits) - bits[of]
        assert used == set(range(min(32, others)))  # no bit that some field could use is left


def test_hints_of_wide_fields_share_what_narrow_ones_leave() -> None:
    # Of 32 bits two fields take 1 and 3; the other three have 28: 9, 9 and 10.
    assert lay_out_hints([20, 1, 20, 3, 20, 7])[5].tolist() == [
        [4, 9],
        [0, 1],
        [13, 9],
        [1, 3],
        [22, 10],
        [0, 0],
    ]
    narrow_first = lay_out_hints([1] * 3 + [5] * 31)[33, :, 1].tolist()
    assert narrow_first == [0] + [1] * 32 + [0]
