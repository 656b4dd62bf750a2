"""Dates written as numbers: which numbers are dates, and what UBR's fields make of them."""

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]

_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
DAY = 86_400
CHINA = 8 * 3600  # the logs' clock is eight hours ahead of UTC
THURSDAY = 3  # 1 January 1970, counted from Monday


def is_month_day(time: Times) -> NDArray[np.bool_]:
    """[n]: whether each number is a date mmdd."""
    month, day = time // 100, time % 100
    right_month = (month >= 1) & (month <= 12)
    found: NDArray[np.bool_] = (
        right_month & (day >= 1) & (day <= _DAYS[np.where(right_month, month, 1) - 1])
    )
    return found


def is_year_month_day(time: Times) -> NDArray[np.bool_]:
    """[n]: whether each number is a date yyyymmdd of four-digit years."""
    year, day = time // 10_000, time % 10_000
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    found: NDArray[np.bool_] = (year >= 1000) & (year <= 9999) & (leap | (day != 229))
    return found & is_month_day(day)


def season(time: Times) -> NDArray[np.int8]:
    """[n]: quarter of the year, 0 to 3, of dates that end in mmdd (UBR, `preprocess_tmall.py`)."""
    return ((time // 100 % 100 - 1) // 3).astype(np.int8)


def half_month(time: Times) -> NDArray[np.int8]:
    """[n]: 0 up to the 15th of a month, else 1 (UBR, `preprocess_tmall.py`)."""
    return (time % 100 > 15).astype(np.int8)


def weekend(time: Times) -> NDArray[np.int8]:
    """[n]: 1 on a Saturday or Sunday in China, else 0, of seconds since 1970.

    DEVIATION(§5.1.1): UBR (`preprocess_taobao.py`) lists the days by hand and has Saturday, 2
    December 2017, among the working days.
    """
    day = (time + CHINA) // DAY
    return ((day + THURSDAY) % 7 >= 5).astype(np.int8)
