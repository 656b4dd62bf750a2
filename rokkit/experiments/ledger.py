"""The claims of the paper, each with the comparison that tests it.

An entry is the content of a sentence in our words, where it stands, and a function from the
evidence of a study to findings. Nothing here knows how one comes out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rokkit.errors import ArtefactError
from rokkit.evaluation.compare import Metric
from rokkit.experiments.compatibility import with_and_without
from rokkit.experiments.evidence import (
    Evidence,
    Finding,
    NotRunError,
    Side,
    Verdict,
    above,
    plainly,
    ratio_below,
)
from rokkit.experiments.grouping import Stopwatch
from rokkit.experiments.inference import measured_latency
from rokkit.experiments.spaces import kept_measures
from rokkit.experiments.systems import ROK
from rokkit.experiments.tables import Table, aligned
from rokkit.experiments.variants import best_on_validation
from rokkit.files import read_json
from rokkit.paths import shown

BEHAVIOUR = ("DIN", "DIEN")  # §5.2's user behaviour modelling methods
ITEM_LEVEL = ("SIM", "UBR")
SAMPLE_LEVEL = ("RIM", "DERT")
CLOSE = 1.25  # "close to": at most a quarter more; the paper's own are 1.09, 0.85 and 1.16
NEGLIGIBLE = 1.2  # of inference; the paper's own are up to 1.18
MIXED = 0.9  # train and test samples lie among each other: nine tenths of what chance gives


@dataclass(frozen=True)
class Claim:
    """A checkable sentence of the paper."""

    name: str
    where: str
    says: str
    test: Callable[[Evidence], Iterable[Finding]]

    def verdict(self, evidence: Evidence) -> Verdict:
        """What the runs say of it; "not run" with the reason where they are not there."""
        try:
            return Verdict(tuple(self.test(evidence)))
        except NotRunError as error:
            return Verdict((), str(error))


def _pairs(evidence: Evidence, ahead: Sequence[str], behind: Sequence[str]) -> Iterable[Finding]:
    """Each of `ahead` better than each of `behind`, as far as the study has them."""
    for one in evidence.having(ahead):
        for other in evidence.having(behind):
            yield evidence.better(one, other)


def _own(evidence: Evidence) -> str:
    """The study's backbone with ROK, which stands for ROK in Table 2."""
    return evidence.settings.backbone + ROK


def _own_against(evidence: Evidence, others: Sequence[str]) -> Iterable[Finding]:
    for other in evidence.having(others):
        yield evidence.better(_own(evidence), other)


def _gain(evidence: Evidence, metric: Metric) -> Iterable[Finding]:
    for name in evidence.settings.backbones:
        yield evidence.better(name + ROK, name, metric)


def _better_teacher(evidence: Evidence) -> Iterable[Finding]:
    backbone = evidence.settings.backbone
    teacher = evidence.settings.teacher.upper()
    for system in evidence.having([f"{backbone}+ROK-{t}" for t in ("DERT", "PET") if t != teacher]):
        other = system.rpartition("-")[2]
        lead = evidence.better(other, teacher)
        if lead.word == "holds":
            yield evidence.better(system, _own(evidence))
            return
    raise NotRunError(f"no teacher of the study is decided to predict better than {teacher}")


def _variant(kind: str, name: str) -> Side:
    system = name + {"RIM": "+R", "ROK": ROK}[kind]
    return Side.of(system, f"{kind}({name})", manner="instance")


def _z_better_than_r(evidence: Evidence) -> Iterable[Finding]:
    for name in ("LR", "MLP"):
        yield evidence.better(_variant("ROK", name), _variant("RIM", name))


def _z_better_than_nothing(evidence: Evidence) -> Iterable[Finding]:
    for name in ("LR", "MLP"):
        yield evidence.better(_variant("ROK", name), name)


def _simple_beats_deepfm(evidence: Evidence) -> Iterable[Finding]:
    yield evidence.better(_variant("ROK", "MLP"), "DEEPFM")


def _fix_is_best(evidence: Evidence) -> Iterable[Finding]:
    system = _own(evidence)
    fix = Side.of(system, "Fix", update="fix", manner="both")
    for name, update in (("Upd g", "g"), ("Upd f+g", "fg")):
        yield evidence.better(fix, Side.of(system, name, update=update, manner="both"))


def _top_is_better(evidence: Evidence) -> Iterable[Finding]:
    system = _own(evidence)
    top = Side.of(system, "most related", positive="top")
    yield evidence.better(top, Side.of(system, "random", positive="random"))


def _ends_are_worse(evidence: Evidence) -> Iterable[Finding]:
    system = _own(evidence)
    sides = {a: Side.of(system, f"alpha {a}", alpha=a) for a in evidence.settings.alphas}
    inner = {a: evidence.reports(side) for a, side in sides.items() if 0 < a < 1}
    ends = [a for a in (0.0, 1.0) if a in sides]
    if not inner or not ends:
        raise NotRunError("alphas have no end or nothing between")
    chosen = best_on_validation(inner)
    for end in ends:
        yield evidence.better(sides[chosen], sides[end])


def _phase_2_is_shorter(evidence: Evidence) -> Iterable[Finding]:
    for name in evidence.settings.backbones:
        with_it, alone = _seconds(evidence, name, ("train",))
        what = f"phase 2 of {name}{ROK} / {name}"
        yield ratio_below(what, with_it / alone, 1.0, "share of seconds")


def _total_is_close(evidence: Evidence) -> Iterable[Finding]:
    for name in evidence.settings.backbones:
        with_it, alone = _seconds(evidence, name, ("retrieval", "teacher", "construct", "train"))
        what = f"both phases of {name}{ROK} / {name}"
        yield ratio_below(what, with_it / alone, CLOSE, f"share of {CLOSE} times")


def _seconds(
    evidence: Evidence, backbone: str, stages: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """By seed: `stages` of the backbone with ROK, training of it alone."""
    rok, alone = evidence.reports(backbone + ROK), evidence.reports(backbone)
    watch = Stopwatch.of([*rok, *alone])
    with_it = np.array([sum(watch.seconds(r, stage) for stage in stages) for r in rok])
    without = np.array([watch.seconds(r, "train") for r in alone])
    measured = ~np.isnan(with_it + without)
    return with_it[measured], without[measured]


def _latency(evidence: Evidence, systems: Sequence[str]) -> Mapping[str, float]:
    """Milliseconds for one sample, by system."""
    reports = [evidence.reports(system)[0] for system in systems]
    frame = measured_latency(reports)
    one = frame[(frame["batch"] == 1) & (frame["stage"] == "total")].set_index("system")
    return {system: float(one.at[system, "p50"]) for system in systems}


def _search_is_slow(evidence: Evidence) -> Iterable[Finding]:
    names = evidence.settings.backbones
    (teacher,) = evidence.having(["RIM"])
    found = _latency(evidence, (*names, teacher))
    for name in names:
        times = found[teacher] / found[name]
        yield plainly(f"{teacher} / {name}, against 10", times / 10 - 1, "share of 10 times")


def _rok_adds_little(evidence: Evidence) -> Iterable[Finding]:
    names = evidence.settings.backbones
    found = _latency(evidence, with_and_without(names))
    for name in names:
        times = found[name + ROK] / found[name]
        what = f"{name}{ROK} / {name}, against {NEGLIGIBLE}"
        yield plainly(what, NEGLIGIBLE / times - 1, f"share of {NEGLIGIBLE} times")


def _spaces(evidence: Evidence) -> list[dict[str, dict[str, float]]]:
    """Measures of r and of z, of the base of each seed."""
    found = []
    for report in evidence.reports("MLP" + ROK):
        one = report.spec.construction
        assert one is not None
        (construction,), parents = evidence.runs([one]), evidence.runs(one.parents())
        found.append(kept_measures(construction, parents, evidence.settings.points))
    return found


def _z_clusters_more(evidence: Evidence) -> Iterable[Finding]:
    held = _spaces(evidence)
    differences = [one["z"]["Silhouette"] - one["r"]["Silhouette"] for one in held]
    yield above("silhouette of z - of r", differences, 0.0, "silhouette")


def _z_generalises(evidence: Evidence) -> Iterable[Finding]:
    mixing = [one["z"]["Mixing"] for one in _spaces(evidence)]
    yield above(f"mixing of z - {MIXED}", mixing, MIXED, "mixing")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "boosts-backbone",
        "Abstract, §5.2, Table 2",
        "ROK raises the AUC of its backbone",
        lambda e: _own_against(e, [e.settings.backbone]),
    ),
    Claim(
        "retrieval-over-behaviour",
        "§5.2, Table 2",
        "methods that retrieve are ahead of those that model the user's behaviour",
        partial(_pairs, ahead=(*ITEM_LEVEL, *SAMPLE_LEVEL), behind=BEHAVIOUR),
    ),
    Claim(
        "samples-over-items",
        "§5.2, Table 2",
        "retrieving samples is better than retrieving the user's items",
        partial(_pairs, ahead=SAMPLE_LEVEL, behind=ITEM_LEVEL),
    ),
    Claim(
        "rok-over-items",
        "§5.2, Table 2",
        "ROK is ahead of methods that retrieve the user's items",
        partial(_own_against, others=ITEM_LEVEL),
    ),
    Claim(
        "surpasses-teacher",
        "§5.2, Table 2",
        "ROK surpasses its teacher",
        lambda e: _own_against(e, [e.settings.teacher.upper()]),
    ),
    Claim(
        "near-the-best",
        "§5.2, Table 2",
        "ROK reaches the best dense retrieval",
        partial(_own_against, others=("DERT",)),
    ),
    Claim(
        "better-teacher",
        "§5.2",
        "a teacher that predicts better makes a better base",
        _better_teacher,
    ),
    Claim(
        "any-backbone-auc",
        "§5.3, Table 3",
        "ROK raises the AUC of every backbone",
        partial(_gain, metric="auc"),
    ),
    Claim(
        "any-backbone-loss",
        "§5.3, Table 3",
        "ROK lowers the log-loss of every backbone",
        partial(_gain, metric="log_loss"),
    ),
    Claim(
        "z-over-r",
        "§5.4, Table 4",
        "the knowledge z serves LR and MLP better than the retrieved r itself",
        _z_better_than_r,
    ),
    Claim(
        "z-over-nothing",
        "§5.4, Table 4",
        "LR and MLP are better with z than without",
        _z_better_than_nothing,
    ),
    Claim(
        "simple-over-deepfm",
        "§5.4, Table 4",
        "an MLP with z is ahead of DeepFM",
        _simple_beats_deepfm,
    ),
    Claim(
        "clusters",
        "§5.4, Figures 4 and 7",
        "z clusters samples more clearly than r (tested on their labels)",
        _z_clusters_more,
    ),
    Claim(
        "generalises",
        "§5.4, Figures 4 and 7",
        "train and test samples lie alike in the space of z",
        _z_generalises,
    ),
    Claim(
        "fix-is-best",
        "§5.5.1, Figures 5 and 8",
        "a frozen base is better than one that is trained further",
        _fix_is_best,
    ),
    Claim(
        "top-over-random",
        "§5.5.1, Figures 5 and 8",
        "the most related neighbour is a better positive than a random one",
        _top_is_better,
    ),
    Claim(
        "both-losses",
        "§5.5.2, Figures 6 and 9",
        "alpha 0 and alpha 1 are worse than a value between",
        _ends_are_worse,
    ),
    Claim(
        "shorter-phase-2",
        "§6.1, Table 5",
        "a backbone trains faster with ROK than without",
        _phase_2_is_shorter,
    ),
    Claim(
        "total-time",
        "§6.1, Table 5",
        "both phases together take about as long as the backbone alone",
        _total_is_close,
    ),
    Claim(
        "search-is-slow",
        "§6.2, Table 6",
        "inference with RIM takes ten times as long as with the backbones, or more",
        _search_is_slow,
    ),
    Claim(
        "negligible",
        "§6.2, Table 6",
        "ROK adds little to the time of inference",
        _rok_adds_little,
    ),
)


def verdicts(evidence: Evidence, claims: Sequence[Claim] = CLAIMS) -> dict[Claim, Verdict]:
    """Every claim's verdict on one study."""
    return {claim: claim.verdict(evidence) for claim in claims}


def claims_table(found: Mapping[Claim, Verdict], dataset: str) -> Table:
    """A row per claim: the verdict, and the finding that decides it."""
    rows = []
    for claim, verdict in found.items():
        weakest = verdict.weakest
        rows.append(
            {
                "Claim": claim.says,
                "Where": claim.where,
                "Verdict": verdict.word,
                "Decided by": verdict.missing if weakest is None else weakest.what,
                "Effect": np.nan if weakest is None else weakest.effect,
                "Low": np.nan if weakest is None else weakest.low,
                "High": np.nan if weakest is None else weakest.high,
                "Unit": "" if weakest is None else weakest.unit,
                "p (seeds)": np.nan if weakest is None else weakest.p_value,
                "Seeds": 0 if weakest is None else weakest.seeds,
                "Findings": ", ".join(_counted(verdict)),
            }
        )
    frame = pd.DataFrame(rows)
    counts = frame["Verdict"].value_counts()
    summary = ", ".join(f"{counts[word]} {word}" for word in counts.index)
    return Table(
        frame=frame,
        caption=f"Claims of the paper on {dataset}: {summary}.",
        formats=dict.fromkeys(("Effect", "Low", "High"), "{:+.4f}") | {"p (seeds)": "{:.2g}"},
        notes=(
            "A claim holds if all its findings do, and does not if one is decided the other way; "
            "the weakest of these is shown. Effects are positive where the claim is right. AUC and "
            "log-loss: on test samples, decided where the 95 % interval leaves 0 out and a paired "
            "t-test over seeds has p < 0.01. Times: a t-test over seeds of the ratio. Without "
            "seeds: one measurement, no test.",
        ),
    )


def gathered(results: Path) -> str:
    """Markdown: the verdicts of every study below `results` that was judged, side by side.

    Raises ArtefactError if none was.
    """
    files = sorted(results.glob("*/claims.json"))
    if not files:
        raise ArtefactError(
            f"{shown(results)} holds no verdicts; judge a study first: rokkit claims --params FILE."
        )
    columns: dict[str, dict[str, str]] = {}
    for path in files:
        held = read_json(path)
        rows = [dict(zip(held["columns"], row, strict=True)) for row in held["rows"]]
        columns[path.parent.name] = {row["Claim"]: _cell(row) for row in rows}
    rows_of = [
        [claim.says, claim.where, *(column.get(claim.says, "–") for column in columns.values())]
        for claim in CLAIMS
    ]
    heads = ["The paper says", "Where", *columns]
    lines = aligned(heads, rows_of, [False] * len(heads))
    note = (
        "Each cell is computed from the runs of a study by `rokkit claims`: the verdict, and the "
        "effect of the finding that decides it, positive where the claim is right. What decides, "
        "intervals and p are in results/<study>/claims.md."
    )
    return "\n".join([*lines, "", note, ""])


def _cell(row: Mapping[str, Any]) -> str:
    """`holds (+0.0106 AUC)`."""
    if row["Effect"] is None:
        return str(row["Verdict"])
    return f"{row['Verdict']} ({row['Effect']:+.4f} {row['Unit']})"


def _counted(verdict: Verdict) -> list[str]:
    words = [one.word for one in verdict.findings]
    return [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
