"""What the numbers of Table 2 say, in sentences made of them.

Nothing here knows the outcome: the same sentences come out otherwise for other runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rokkit.evaluation import Comparison
from rokkit.experiments import paper
from rokkit.experiments.grouping import by_teacher
from rokkit.experiments.overall import PAPER_ROWS
from rokkit.experiments.report import Report

WORDS = {
    "better": "is better than",
    "worse": "is worse than",
    "not decided": "cannot be told from",
}


@dataclass(frozen=True)
class Reading:
    """Findings, one sentence each; a notebook shows them as a list."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(f"- {line}" for line in self.lines)

    def _repr_markdown_(self) -> str:
        return str(self)


def reading(
    found: Mapping[tuple[str, str], Comparison], constructions: Sequence[Report] = ()
) -> Reading:
    """What `comparisons` of test AUC found, what is left of the teacher's lead, the imitation."""
    lines = [compared(*pair, c) for pair, c in found.items()]
    for (system, against), c in found.items():
        teacher = found.get(("RIM", against))
        if system == f"{against}+ROK" and teacher and teacher.finding == "better":
            kept = c.difference / teacher.difference
            lines.append(
                f"{system} keeps {kept:.0%} of RIM's lead over {against}, without a search."
            )
    lines += [imitation(held, teacher) for teacher, held in by_teacher(constructions).items()]
    return Reading(tuple(lines))


def compared(system: str, against: str, c: Comparison) -> str:
    """One comparison in a sentence, with what the paper prints for the same two systems."""
    sentence = told(system, against, c)
    printed = published(system, against)
    if not printed:
        return sentence
    cells = ", ".join(f"{value:+.4f} on {dataset}" for dataset, value in printed.items())
    return f"{sentence} The paper, on its data: {cells}."


def told(one: str, against: str, c: Comparison) -> str:
    """One comparison of test AUC in a sentence."""
    seeds = f"over {c.n_seeds} seed{'s' if c.n_seeds > 1 else ''}"
    p = "" if c.p_value is None else f"; p = {c.p_value:.2g} {seeds}"
    return (
        f"{one} {WORDS[c.finding]} {against}: {c.difference:+.4f} test AUC "
        f"(95 % interval {c.low:+.4f} to {c.high:+.4f}{p})."
    )


def published(system: str, against: str) -> dict[str, float]:
    """The paper's difference in AUC by data set, where it prints both systems."""
    found = {}
    for dataset in paper.DATASETS:
        a, b = (
            paper.value(*PAPER_ROWS[name], dataset, "AUC") if name in PAPER_ROWS else None
            for name in (system, against)
        )
        if a is not None and b is not None:
            found[dataset] = a - b
    return found


def imitation(constructions: Sequence[Report], teacher: str) -> str:
    """How well the bases imitate their teacher on test samples, mean over the bases.

    Warm and cold items are told apart where every base was measured on both.
    """
    test = [one.metrics["test"] for one in constructions]

    def mean(name: str) -> str:
        return f"{np.mean([t[name] for t in test]):.2f}"

    everywhere = set.intersection(*({name for name in t if name.startswith("r2_")} for t in test))
    split = {"r2_warm", "r2_cold"}
    blocks = sorted(everywhere - split)
    parts = ", ".join(f"{name.removeprefix('r2_')} {mean(name)}" for name in blocks)
    if split <= everywhere:
        parts += f"; items among the train targets {mean('r2_warm')}, others {mean('r2_cold')}"
    return (
        f"Imitation of {teacher} on test samples: R² {mean('r2')} ({parts}); "
        f"collapse level {mean('collapse')} (0: none). "
        f"Mean over {len(test)} knowledge base{'s' if len(test) > 1 else ''}."
    )
