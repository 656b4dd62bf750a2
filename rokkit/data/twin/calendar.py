"""When things happen: the days of each log, their weights, and the hours of a day.

Weights are rows of the real logs as far as they are known, so that the cut points of RIM's protocol
give pool, train and test about their real shares.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from rokkit.data.twin.draws import Floats, Ints, Lottery
from rokkit.data.twin.formats import FormatName

DAY = 86_400
TAOBAO_START = 1_511_539_200  # 2017-11-25 00:00 at UTC+8, in seconds since 1970
TAOBAO_END = TAOBAO_START + 9 * DAY

# Shares of a day's rows by its hour: a night, a working day, an evening.
HOURS = (33, 16, 9, 6, 6, 9, 19, 29, 37, 45, 49, 48, 48, 52, 51, 52, 51, 48, 49, 58, 71, 78, 76, 60)


@dataclass(frozen=True)
class Calendar:
    """The days of a log, in order."""

    codes: Ints  # [D] what stands in the file: mmdd, yyyymmdd, or the first second of the day
    place: Floats  # [D] start of the day as a share of the time span, 0 to below 1
    weights: Ints  # [D] how much happens
    cuts: tuple[int, int]  # RIM's: first code of train, of test
    burst: int  # index of 11 November; -1 where it is not in the log

    def part_of_day(self) -> Ints:
        """[D]: 0 for a day of the pool, 1 of train, 2 of test."""
        return np.searchsorted(np.asarray(self.cuts), self.codes, side="right")

    def hours(self) -> Lottery:
        """Draws hour h of day d as d * 24 + h."""
        return Lottery(np.multiply.outer(self.weights // 1000 + 1, np.array(HOURS)).ravel())

    def days(self) -> Lottery:
        """Draws days."""
        return Lottery(self.weights)


def calendar_of(name: FormatName) -> Calendar:
    """The calendar of a format."""
    return {"tmall": _tmall, "taobao": _taobao, "alipay": _alipay}[name]()


def _tmall() -> Calendar:
    """11 May to 12 November 2014; rows mount in October and burst on 11 November."""
    days = [date(2014, 5, 11) + timedelta(i) for i in range(186)]
    weights = [
        # Interest grows over the last three weeks of the pool, and from day to day in November.
        *_spread(34_323_236, [20 + max(0, i - 152) for i in range(174)]),
        *_spread(10_019_415, [10 + i for i in range(10)]),
        10_582_633,
        46,
    ]
    codes = [d.month * 100 + d.day for d in days]
    return _calendar(days, codes, weights, (1101, 1111), burst=184)


def _taobao() -> Calendar:
    """Nine days, the last two of them a weekend with more rows."""
    days = [date(2017, 11, 25) + timedelta(i) for i in range(9)]
    weights = [
        *_spread(72_800_000, [105, 107, 101, 101, 103, 104, 106]),
        13_750_000,
        13_600_000,
    ]
    codes = [TAOBAO_START + DAY * i for i in range(9)]
    return _calendar(days, codes, weights, (codes[7], codes[8]), burst=-1)


def _alipay() -> Calendar:
    """1 July to 30 November 2015 without the first twenty days of November."""
    days = [date(2015, 7, 1) + timedelta(i) for i in range(153)]
    days = [d for d in days if not (d.month == 11 and d.day <= 20)]
    weights = [
        *_spread(41_217_588, [1] * 123),
        *_spread(1_324_216, [1] * 4),
        *_spread(1_986_323, [1] * 6),
    ]
    codes = [d.year * 10_000 + d.month * 100 + d.day for d in days]
    return _calendar(days, codes, weights, (20_151_120, 20_151_125), burst=-1)


def _spread(total: int, relative: list[int]) -> list[int]:
    return [total * one // sum(relative) for one in relative]


def _calendar(
    days: list[date], codes: list[int], weights: list[int], cuts: tuple[int, int], burst: int
) -> Calendar:
    span = (days[-1] - days[0]).days + 1
    return Calendar(
        codes=np.array(codes, np.int64),
        place=np.array([(d - days[0]).days / span for d in days]),
        weights=np.array(weights, np.int64),
        cuts=cuts,
        burst=burst,
    )
