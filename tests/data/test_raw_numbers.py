"""Texts to numbers, and numbers that are dates."""

import datetime
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.data.raw.calendar import (
    half_month,
    is_month_day,
    is_year_month_day,
    season,
    weekend,
)
from rokkit.data.raw.numbers import MISSING, UNREADABLE, whole_numbers


def numbers(*texts: str) -> list[int]:
    return whole_numbers(pa.array(texts, pa.string())).values.tolist()


PLAIN = {
    "0": 0,
    "829": 829,
    "0829": 829,
    "-5": -5,
    "-0": 0,
    "0" * 30 + "7": 7,
    "9" * 18: 10**18 - 1,
}
REPAIRED = {
    "": MISSING,
    "  ": MISSING,
    " 12": 12,
    "12\t": 12,
    "\r": MISSING,
    "2661.0": 2661,
    "2661.": 2661,
    "2661.000": 2661,
    "-3.0": -3,
    " 00.0 ": 0,
}
STRANGE = [
    *("x", "-", ".", ".0", "1.5", "1.05", "1e3", "nan", "+5", "+5.0", "--5", "1 2", "1,2", "0x1F"),
    *("-0x1", "12.0.0", "12.0x", "１２", "é", "\x00", "1\x00", '"1"', "NULL", "\\N"),
    *("1" + "0" * 18, "9223372036854775807", "-9223372036854775808", "9" * 30, "9" * 19 + ".0"),
]


@pytest.mark.parametrize(("text", "value"), list((PLAIN | REPAIRED).items()))
def test_what_a_text_spells(text: str, value: int) -> None:
    assert numbers(text) == [value]
    assert numbers("1", text, "") == [1, value, MISSING]  # with something empty
    assert numbers("1", text, "x") == [1, value, UNREADABLE]  # with something unreadable


@pytest.mark.parametrize("text", STRANGE)
def test_what_is_no_whole_number(text: str) -> None:
    assert numbers(text) == [UNREADABLE]
    assert numbers("12", text, "", "3.0") == [12, UNREADABLE, MISSING, 3]


def test_bytes_that_are_no_text_are_unreadable() -> None:
    texts = pa.array([b"\xff\xfe", b"1", b"1\xff", b"2.0"], pa.binary()).cast(
        pa.string(), safe=False
    )
    assert whole_numbers(texts).values.tolist() == [UNREADABLE, 1, UNREADABLE, 2]


def test_where_values_are_missing_unreadable_or_floats() -> None:
    found = whole_numbers(pa.array(["1", "", "x", "2.0", "3.5", "4."]))
    assert found.values.tolist() == [1, MISSING, UNREADABLE, 2, UNREADABLE, 4]
    assert found.missing.tolist() == [False, True, False, False, False, False]
    assert found.unreadable.tolist() == [False, False, True, False, True, False]
    assert found.floats.tolist() == [False, False, False, True, False, True]
    plain = whole_numbers(pa.array(["1", "2"]))
    assert [plain.missing.any(), plain.unreadable.any(), plain.floats.any()] == [False] * 3


def test_no_texts_are_no_numbers() -> None:
    assert numbers() == []


def test_numbers_can_be_changed_by_whoever_gets_them() -> None:
    texts = pa.array(["1", "2"])
    whole_numbers(texts).values[:] = 0
    assert whole_numbers(texts).values.tolist() == [1, 2]


def spelled(text: str) -> int:
    """A plain reading of one text."""
    text = text.strip(" \t\r\n\v\f")
    if not text:
        return MISSING
    match = re.fullmatch(r"(-?)0*([0-9]{1,18})(\.0*)?", text, re.ASCII)
    return int(match[1] + match[2]) if match else UNREADABLE


texts = st.lists(
    st.integers(-(10**19), 10**19).map(str)
    | st.sampled_from([*PLAIN, *REPAIRED, *STRANGE])
    | st.text("0123456789.- xé", max_size=5),
    max_size=12,
)


@settings(max_examples=200)
@given(texts=texts, data=st.data())
def test_reading_agrees_with_one_text_at_a_time(texts: list[str], data: st.DataObject) -> None:
    """So what a text is worth does not depend on its neighbours, nor on where a batch begins."""
    expected = [spelled(text) for text in texts]
    assert numbers(*texts) == expected
    start = data.draw(st.integers(0, len(texts)))
    stop = data.draw(st.integers(start, len(texts)))
    part = whole_numbers(pa.array(texts, pa.string())[start:stop])
    assert part.values.tolist() == expected[start:stop]


def test_every_day_of_a_leap_year_is_a_month_day() -> None:
    found = np.flatnonzero(is_month_day(np.arange(-200, 2000))) - 200
    days = [datetime.date(2016, 1, 1) + datetime.timedelta(d) for d in range(366)]
    assert found.tolist() == [100 * day.month + day.day for day in days]


@pytest.mark.parametrize("year", [1000, 1900, 2000, 2015, 2016, 9999])
def test_dates_are_those_of_the_calendar(year: int) -> None:
    def exists(number: int) -> bool:
        try:
            datetime.date(number // 10_000, number // 100 % 100, number % 100)
        except ValueError:
            return False
        return True

    candidates = np.arange(year * 10_000, (year + 1) * 10_000)
    expected = [exists(number) for number in candidates.tolist()]
    assert is_year_month_day(candidates).tolist() == expected


@pytest.mark.parametrize(
    "time", [0, 829, 9991231, 100000101, -20150701, 2015070, 201507011, 10**17, MISSING, UNREADABLE]
)
def test_what_is_no_date(time: int) -> None:
    assert not is_year_month_day(np.array([time])).any()
    if time != 829:
        assert not is_month_day(np.array([time])).any()


def test_seasons_and_halves_of_months() -> None:
    time = np.array([101, 331, 401, 511, 630, 701, 930, 1001, 1115, 1116, 1231])
    assert season(time).tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3]
    assert half_month(time).tolist() == [0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1]
    dated = 2015 * 10_000 + time
    np.testing.assert_array_equal(season(dated), season(time))
    np.testing.assert_array_equal(half_month(dated), half_month(time))
    assert season(dated).dtype == half_month(dated).dtype == np.int8


CHINA = datetime.timezone(datetime.timedelta(hours=8))


def test_the_weekends_of_the_published_span() -> None:
    # Saturday 25 November to Sunday 3 December 2017, the first and the last second of each day.
    first = 1511539200 + 86_400 * np.arange(9)
    expected = [1, 1, 0, 0, 0, 0, 0, 1, 1]
    assert weekend(first).tolist() == weekend(first + 86_399).tolist() == expected
    assert weekend(first).dtype == np.int8


@settings(max_examples=100)
@given(st.integers(-2_000_000_000, 2_200_000_000))
def test_weekends_agree_with_the_calendar(second: int) -> None:
    """Also of the years 1906 to 2039, which the file has too."""
    day = datetime.datetime(1970, 1, 1, 8, tzinfo=CHINA) + datetime.timedelta(seconds=second)
    assert weekend(np.array([second])).tolist() == [int(day.weekday() >= 5)]
