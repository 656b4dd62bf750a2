"""What was to be reached, beside what was measured: the verdict is computed, never typed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.results import table

Verdict = Literal["met", "not met", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One goal and what was measured of it; None where that was not measured."""

    text: str
    bound: float
    measured: float | None
    unit: str = ""
    at_least: bool = True  # else: below

    @property
    def verdict(self) -> Verdict:
        """Whether it is met."""
        if self.measured is None:
            return "not measured"
        met = self.measured >= self.bound if self.at_least else self.measured < self.bound
        return "met" if met else "not met"


def goals_table(goals: Sequence[Goal]) -> str:
    """A row per goal, in Markdown."""
    rows = []
    for goal in goals:
        sign = "at least" if goal.at_least else "below"
        found = "–" if goal.measured is None else f"{goal.measured:,.4g}{goal.unit}"
        rows.append((goal.text, f"{sign} {goal.bound:g}{goal.unit}", found, goal.verdict))
    return table(("Goal", "Bound", "Measured", "Verdict"), rows)
