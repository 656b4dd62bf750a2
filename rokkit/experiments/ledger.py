"""The claims of the paper, each with the comparison that tests it.

An entry is the content of a sentence in our words, where it stands, and a function from the
evidence of a study to findings. Nothing here knows how one comes out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rokkit.errors import ArtefactError
from rokkit.experiments import claim_tests as tests
from rokkit.experiments import efficiency
from rokkit.experiments.evidence import Evidence, Finding, NotRunError, Verdict, Word
from rokkit.experiments.tables import Table, aligned
from rokkit.files import read_json
from rokkit.paths import shown

# As §5.2 cites them.
BEHAVIOUR = ("DIN", "DIEN")  # user behaviour modelling methods [43, 44]
RETRIEVAL = ("UBR", "RIM")  # retrieval-based methods [24, 25]
ITEM_LEVEL = ("SIM", "UBR")  # of items [23, 25]
SAMPLE_LEVEL = ("RIM",)  # of samples [24]


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


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "boosts-backbone",
        "Abstract, §5.2, Table 2",
        "ROK raises the AUC of its backbone",
        lambda e: tests.own_against(e, [e.settings.backbone]),
    ),
    Claim(
        "retrieval-over-behaviour",
        "§5.2, Table 2",
        "retrieval (UBR, RIM) is ahead of modelling the user's behaviour (DIN, DIEN)",
        partial(tests.pairs, ahead=RETRIEVAL, behind=BEHAVIOUR),
    ),
    Claim(
        "samples-over-items",
        "§5.2, Table 2",
        "retrieving samples (RIM) is better than retrieving the user's items (SIM, UBR)",
        partial(tests.pairs, ahead=SAMPLE_LEVEL, behind=ITEM_LEVEL),
    ),
    Claim(
        "rok-over-items",
        "§5.2, Table 2",
        "ROK is ahead of methods that retrieve the user's items",
        partial(tests.own_against, others=ITEM_LEVEL),
    ),
    Claim(
        "surpasses-teacher",
        "§5.2, Table 2",
        "ROK surpasses its teacher",
        tests.surpasses_teacher,
    ),
    Claim(
        "near-the-best",
        "§5.2, Table 2",
        "ROK comes close to the best dense retrieval",
        tests.close_to_dense,
    ),
    Claim(
        "elite-backbone",
        "§5.2",
        "a better backbone (UBR) makes ROK better still",
        tests.elite_backbone,
    ),
    Claim(
        "no-collapse",
        "§4.3.2",
        "without the contrastive loss z collapses more",
        tests.contrast_prevents_collapse,
    ),
    Claim(
        "better-teacher",
        "§5.2",
        "a teacher that predicts better makes a better base",
        tests.better_teacher,
    ),
    Claim(
        "any-backbone-auc",
        "§5.3, Table 3",
        "ROK raises the AUC of every backbone",
        partial(tests.gain, metric="auc"),
    ),
    Claim(
        "any-backbone-loss",
        "§5.3, Table 3",
        "ROK lowers the log-loss of every backbone",
        partial(tests.gain, metric="log_loss"),
    ),
    Claim(
        "z-over-r",
        "§5.4, Table 4",
        "the knowledge z serves LR and MLP better than the retrieved r itself",
        tests.z_better_than_r,
    ),
    Claim(
        "z-over-nothing",
        "§5.4, Table 4",
        "LR and MLP are better with z than without",
        tests.z_better_than_nothing,
    ),
    Claim(
        "simple-over-deepfm",
        "§5.4, Table 4",
        "an MLP with z is ahead of DeepFM",
        tests.simple_beats_deepfm,
    ),
    Claim(
        "clusters",
        "§5.4, Figures 4 and 7",
        "z clusters samples more clearly than r (tested on their labels)",
        tests.z_clusters_more,
    ),
    Claim(
        "generalises",
        "§5.4, Figures 4 and 7",
        "train and test samples lie alike in the space of z",
        tests.z_generalises,
    ),
    Claim(
        "fix-is-best",
        "§5.5.1, Figures 5 and 8",
        "a frozen base is better than one that is trained further",
        tests.fix_is_best,
    ),
    Claim(
        "top-over-random",
        "§5.5.1, Figures 5 and 8",
        "the most related neighbour is a better positive than a random one",
        tests.top_is_better,
    ),
    Claim(
        "both-losses",
        "§5.5.2, Figures 6 and 9",
        "alpha 0 and alpha 1 are worse than a value between",
        tests.ends_are_worse,
    ),
    Claim(
        "shorter-phase-2",
        "§6.1, Table 5",
        "a backbone trains faster with ROK than without",
        efficiency.phase_2_is_shorter,
    ),
    Claim(
        "convergence",
        "§6.1",
        "a backbone converges in fewer steps with ROK",
        efficiency.converges_sooner,
    ),
    Claim(
        "total-time",
        "§6.1, Table 5",
        "both phases together take about as long as the backbone alone",
        efficiency.total_is_close,
    ),
    Claim(
        "search-dominates",
        "§6.1",
        "retrieval is the longest part of the whole training",
        efficiency.search_dominates,
    ),
    Claim(
        "search-is-slow",
        "§6.2, Table 6",
        "inference with RIM takes ten times as long as with the backbones, or more",
        efficiency.search_is_slow,
    ),
    Claim(
        "faster-than-search",
        "Abstract, §6.2, Table 6",
        "ROK answers sooner than the teacher with its search",
        efficiency.rok_is_faster,
    ),
    Claim(
        "faster-than-dense",
        "§6.2, Table 6",
        "ROK is ahead of DERT and answers in less than a third of its time",
        efficiency.better_and_faster_than_dense,
    ),
    Claim(
        "negligible",
        "§6.2, Table 6",
        "ROK adds little to the time of inference",
        efficiency.rok_adds_little,
    ),
)


def verdicts(evidence: Evidence, claims: Sequence[Claim] = CLAIMS) -> dict[Claim, Verdict]:
    """Every claim's verdict on one study."""
    return {claim: claim.verdict(evidence) for claim in claims}


DECIDED = (
    "Effects are positive where the claim is right. AUC and log-loss: on test samples, decided "
    "where the 95 % interval leaves 0 out and a paired t-test over seeds has p < 0.01. Times: a "
    "t-test of the ratio over seeds; of inference, over blocks of rounds, which stand for them."
)
NOTHING = Finding("", "not run", np.nan, unit="")
FORMATS = dict.fromkeys(("Effect", "Low", "High"), "{:+.4f}") | {"p (seeds)": "{:.2g}"}


def claims_table(found: Mapping[Claim, Verdict], study: str) -> Table:
    """A row per claim: the verdict, and the finding that decides it."""
    rows = []
    for claim, verdict in found.items():
        decides = verdict.weakest or replace(NOTHING, what=verdict.missing)
        findings = {"Findings": ", ".join(_counted(verdict))}
        rows.append(_cells(claim, verdict.word, "Decided by", decides) | findings)
    frame = pd.DataFrame(rows)
    counts = frame["Verdict"].value_counts()
    summary = ", ".join(f"{counts[word]} {word}" for word in counts.index)
    return Table(
        frame=frame,
        caption=f"Claims of the paper on {study}: {summary}.",
        formats=FORMATS,
        notes=(
            "A claim holds if all its findings do, and does not if one is decided the other way; "
            f"the weakest of these is shown. {DECIDED}",
        ),
    )


def findings_table(found: Mapping[Claim, Verdict], study: str) -> Table:
    """A row per finding: all that the verdicts rest on."""
    rows = [
        _cells(claim, one.word, "Finding", one)
        for claim, verdict in found.items()
        for one in verdict.findings
    ]
    return Table(
        frame=pd.DataFrame(rows, columns=list(_cells(CLAIMS[0], "not run", "Finding", NOTHING))),
        caption=f"What the verdicts on the claims of the paper rest on, on {study}.",
        formats=FORMATS,
        notes=(DECIDED,),
    )


def _cells(claim: Claim, word: Word, name: str, one: Finding) -> dict[str, Any]:
    """A row with a finding in it, what it compares under `name`."""
    return {
        "Claim": claim.says,
        "Where": claim.where,
        "Verdict": word,
        name: one.what,
        "Effect": one.effect,
        "Low": one.low,
        "High": one.high,
        "Unit": one.unit,
        "p (seeds)": one.p_value,
        "Seeds": one.seeds,
    }


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
