"""The paper's argument from efficiency: what tests it, and what is left of it here."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rokkit.experiments import paper
from rokkit.experiments.compatibility import with_and_without
from rokkit.experiments.evidence import Evidence, Finding, NotRunError, ratio_below
from rokkit.experiments.grouping import Stopwatch, on_test
from rokkit.experiments.inference import footprint_table, latency_by_block, measured_latency
from rokkit.experiments.reading import Reading
from rokkit.experiments.systems import ROK

CLOSE = 1.25  # "close to": at most a quarter more; the paper's own are 1.09, 0.85 and 1.16
NEGLIGIBLE = 1.2  # of inference; the paper's own are up to 1.18


def phase_2_is_shorter(evidence: Evidence) -> Iterable[Finding]:
    """Phase 2 shorter than the training of the backbone alone."""
    for name in evidence.settings.backbones:
        with_it, alone = _seconds(evidence, name, ("train",))
        what = f"phase 2 of {name}{ROK} / {name}"
        yield ratio_below(what, with_it / alone, 1.0, "share of seconds")


def converges_sooner(evidence: Evidence) -> Iterable[Finding]:
    """Each backbone at its best on validation data after fewer steps with ROK than without."""
    for name in evidence.settings.backbones:
        with_it, alone = (
            np.array([report.details["best_step"] for report in evidence.reports(system)])
            for system in (name + ROK, name)
        )
        what = f"steps to the best of {name}{ROK} / {name}"
        yield ratio_below(what, with_it / alone, 1.0, "share of steps")


def total_is_close(evidence: Evidence) -> Iterable[Finding]:
    """Both phases together at most `CLOSE` times the training of the backbone alone."""
    for name in evidence.settings.backbones:
        with_it, alone = _seconds(evidence, name, ("retrieval", "teacher", "construct", "train"))
        what = f"both phases of {name}{ROK} / {name}"
        yield ratio_below(what, with_it / alone, CLOSE, f"share of {CLOSE} times")


def search_dominates(evidence: Evidence) -> Iterable[Finding]:
    """The search longer than each other stage of both phases with the study's backbone."""
    name = evidence.settings.backbone
    reports = evidence.reports(name + ROK)
    watch = Stopwatch.of(reports)
    for stage, called in (("teacher", "teacher"), ("construct", "construction"), ("train", name)):
        pairs = np.array([[watch.seconds(r, one) for one in (stage, "retrieval")] for r in reports])
        other, search = pairs[~np.isnan(pairs).any(axis=1)].T
        yield ratio_below(f"{called} / search", other / search, 1.0, "share of seconds")


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


def _latency(evidence: Evidence, systems: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Milliseconds for one sample by block of rounds, by system."""
    found = latency_by_block([evidence.reports(system)[0] for system in systems])
    return {system: found.loc[system].to_numpy(float) for system in systems}


def search_is_slow(evidence: Evidence) -> Iterable[Finding]:
    """The teacher at least ten times as long over one sample as each backbone."""
    names = evidence.settings.backbones
    (teacher,) = evidence.having(["RIM"])
    found = _latency(evidence, (*names, teacher))
    for name in names:
        shares = found[name] / found[teacher]
        yield ratio_below(f"{teacher} / {name}, against 10", shares, 0.1, "share of 10 times")


def rok_is_faster(evidence: Evidence) -> Iterable[Finding]:
    """Each backbone with ROK answers for one sample sooner than the teacher, search included."""
    (teacher,) = evidence.having([evidence.settings.teacher.upper()])
    systems = [name + ROK for name in evidence.settings.backbones]
    found = _latency(evidence, (*systems, teacher))
    for system in systems:
        shares = found[system] / found[teacher]
        yield ratio_below(f"{teacher} / {system}", shares, 1.0, "share of milliseconds")


def better_and_faster_than_dense(evidence: Evidence) -> Iterable[Finding]:
    """The study's backbone with ROK ahead of DERT, and its answer there in a third of the time."""
    (dense,) = evidence.having(["DERT"])
    own = evidence.settings.backbone + ROK
    yield evidence.better(own, dense)
    found = _latency(evidence, (own, dense))
    what = f"{own} / {dense}, against a third"
    yield ratio_below(what, found[own] / found[dense], 1 / 3, "share of a third")


def rok_adds_little(evidence: Evidence) -> Iterable[Finding]:
    """Each backbone with ROK at most `NEGLIGIBLE` times as long over one sample as alone."""
    names = evidence.settings.backbones
    found = _latency(evidence, with_and_without(names))
    for name in names:
        times = found[name + ROK] / found[name]
        what = f"{name}{ROK} / {name}, against {NEGLIGIBLE}"
        yield ratio_below(what, times, NEGLIGIBLE, f"share of {NEGLIGIBLE} times")


def efficiency_reading(evidence: Evidence) -> Reading:
    """What is left of the argument that a search costs too much: time, memory, accuracy.

    For the study's teacher, its backbone alone and with ROK; runs that are missing are named.
    """
    backbone, teacher = evidence.settings.backbone, evidence.settings.teacher.upper()
    rok = backbone + ROK
    try:
        reports = {system: evidence.reports(system) for system in (teacher, backbone, rok)}
    except NotRunError as error:
        return Reading((f"Nothing to say of efficiency: {error}.",))
    first = [held[0] for held in reports.values()]
    frame = measured_latency(first)
    one = frame[frame["batch"] == 1].set_index(["system", "stage"])["p50"]
    total = {system: float(one[system, "total"]) for system in reports}
    search = float(one.get((teacher, "search"), 0.0))
    held = footprint_table(first).frame.set_index("System")
    kept = held.loc[teacher, ["pool MB", "index MB"]].sum()
    auc = {system: float(on_test(runs, "auc").mean()) for system, runs in reports.items()}
    printed = [paper.value(6, teacher, d, "Milliseconds") for d in paper.DATASETS]
    theirs = [value for value in printed if value is not None]
    lines = [
        f"Time: {teacher} answers for one sample in {total[teacher]:.2f} ms, {search:.3f} ms of it "
        f"the search; {backbone} takes {total[backbone]:.2f} ms, {rok} {total[rok]:.2f} ms. "
        f"{teacher} takes {total[teacher] / total[backbone]:.1f} times as long as {backbone}, "
        f"{rok} {total[rok] / total[backbone]:.2f} times."
    ]
    if theirs:
        lines.append(
            f"The paper prints {min(theirs):.0f} to {max(theirs):.0f} ms for {teacher}, nearly all "
            f"of it a search through Elasticsearch: {min(theirs) / total[teacher]:.0f} to "
            f"{max(theirs) / total[teacher]:.0f} times ours, on other data and another machine."
        )
    lines += [
        f"Memory: {teacher} keeps {kept:.1f} MB of pool and index beside its weights "
        f"({held.at[teacher, 'weights MB']:.1f} MB), and they grow with the pool; {rok} holds "
        f"{held.at[rok, 'all MB']:.1f} MB in all, {backbone} {held.at[backbone, 'all MB']:.1f} MB.",
        f"Accuracy: test AUC {auc[teacher]:.4f} for {teacher}, {auc[rok]:.4f} for {rok}, "
        f"{auc[backbone]:.4f} for {backbone}: giving the search up costs "
        f"{auc[teacher] - auc[rok]:+.4f}, ROK gains {auc[rok] - auc[backbone]:+.4f}.",
        f"Freshness: a row appended to the pool is found by {teacher}'s next search; {rok} knows "
        "what was in the pool when its base was constructed.",
    ]
    return Reading(tuple(lines))
