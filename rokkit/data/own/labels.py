"""From the values of a label column to labels."""

import difflib
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.data.own.columns import Column
from rokkit.data.own.schema import LabelColumn, Scalar
from rokkit.errors import ConfigError, DataError, unknown_name

NO_LABEL = -1
UNREADABLE = -2

_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d*)?)\s*")
_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def labels(column: Column, rule: LabelColumn) -> NDArray[np.int8]:
    """[N]: 1 or 0; `NO_LABEL` where missing, `UNREADABLE` where a comparison needs a number.

    DataError if no value can be compared, if a value that is to be positive does not occur, or,
    without a rule, if the column holds anything besides 0 and 1.
    """
    table = np.append(_of_values(column, rule), NO_LABEL).astype(np.int8)
    return table[column.codes]


def matches(values: "pd.Index[Any]", wanted: Iterable[Scalar], where: str) -> NDArray[np.bool_]:
    """[V]: which of the distinct `values` are among `wanted`.

    1, 1.0 and "1" are the same. DataError, with the nearest value, for one that does not occur;
    ConfigError for a truth value where texts are held, because YAML reads one from yes and no.
    """
    texts = np.array([_text(value) for value in values], dtype=object)
    found = np.zeros(len(values), bool)
    for one in wanted:
        if isinstance(one, bool) and values.dtype.kind != "i":
            raise ConfigError(
                f"{where} holds {one!r}, which YAML reads from words such as yes, no, true and "
                'false. Put it in quotes as the column writes it, such as "yes".'
            )
        here = texts == _text(one)
        if not here.any():
            raise DataError(
                f"{where}: " + unknown_name("value", _text(one), few(_text(one), texts))
            )
        found |= here
    return found


def few(name: str, known: Iterable[str], most: int = 20) -> list[str]:
    """Those of `known` that are like `name`, then others: `most` of them."""
    names = [str(one) for one in known]
    near = difflib.get_close_matches(name, names[:10_000], n=most, cutoff=0.5)
    return list(dict.fromkeys([*near, *names[:most]]))[:most]


def _of_values(column: Column, rule: LabelColumn) -> NDArray[np.int8]:
    """[V]: the label of each distinct value."""
    values, positive = column.values, rule.positive
    if positive is None:
        strange = [_text(value) for value in values if _text(value) not in ("0", "1")]
        if strange:
            raise DataError(
                f"label column {column.name!r} holds {strange[0]!r}; expected 0 and 1 only. Say "
                f"which values are positive, such as positive: [{strange[0]}] or "
                'positive: ">= 4".'
            )
        positive = 1
    comparison = _COMPARISON.fullmatch(positive) if isinstance(positive, str) else None
    if comparison is not None:
        return _compared(column, comparison)
    wanted = positive if isinstance(positive, tuple) else (positive,)
    return matches(values, wanted, f"positive of label column {column.name!r}").astype(np.int8)


def _compared(column: Column, comparison: "re.Match[str]") -> NDArray[np.int8]:
    sign, edge = comparison.groups()
    numbers = np.asarray(pd.to_numeric(pd.Series(column.values), errors="coerce"), np.float64)
    found: NDArray[np.int8] = _COMPARE[sign](numbers, float(edge)).astype(np.int8)
    strange = np.isnan(numbers)
    if strange.all():
        shown = _text(column.values[0]) if len(column.values) else "nothing"
        raise DataError(
            f"label column {column.name!r} holds {shown!r} and no number; positive: "
            f'"{sign} {edge}" compares numbers. List the positive values instead.'
        )
    found[strange] = UNREADABLE
    return found


def _text(value: object) -> str:
    """A value as text: whole numbers without a point, truth values as the numbers they are."""
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
