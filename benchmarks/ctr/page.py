"""What both pages say alike."""

from collections.abc import Mapping
from typing import Any

Case = Mapping[str, Any]


def ratios(speed: Case, ours: str, theirs: str) -> list[float] | None:
    """Round by round, how many times as fast `ours` is, per processor second; None if one fell out.

    A slow moment of the machine meets both sides of a ratio.
    """
    if ours not in speed or theirs not in speed:
        return None
    pairs = zip(speed[ours]["turns"], speed[theirs]["turns"], strict=True)
    return [a["units"] / a["cpu"] * b["cpu"] / b["units"] for a, b in pairs]


def spread(rate: Mapping[str, float], digits: int = 0) -> str:
    """ "median (low – high)"."""
    low, high = (f"{rate[end]:,.{digits}f}" for end in ("low", "high"))
    return f"{rate['median']:,.{digits}f} ({low} – {high})"


def left_out(case: Case) -> list[str]:
    """What dropped out and why, as a paragraph if there is any."""
    reasons = case.get("left_out", [])
    return ["Left out:\n\n" + "\n".join(f"- {one}" for one in reasons)] if reasons else []
