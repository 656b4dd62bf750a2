"""Facts about finished runs that a notebook asserts, read from the run folders."""

import math
from collections.abc import Iterable

import torch

from rokkit.experiments.report import Report
from rokkit.experiments.spec import DataSpec, RunSpec
from rokkit.experiments.weights import read_weights

BASE = "base."  # where a model keeps its copy of the knowledge base


def base_unchanged(construction: Report, user: Report) -> bool:
    """Whether the base that `user` was trained with is bit-equal to what `construction` made.

    `construction` is the parent of `user`. BatchNorm's running statistics count as well (§5.5.1,
    the "Fix" variant). False also if a tensor is missing.
    """
    made, used = read_weights(construction.folder), read_weights(user.folder)
    held = {name.removeprefix(BASE): t for name, t in used.items() if name.startswith(BASE)}
    return made.keys() == held.keys() and all(torch.equal(made[name], held[name]) for name in made)


def bases_unchanged(constructions: Iterable[Report], reports: Iterable[Report]) -> bool:
    """`base_unchanged` for every one of `reports` that uses a base.

    False also if the construction of one is not among `constructions`.
    """
    made = {_identity(report.spec): report for report in constructions}
    users = [(_identity(r.spec.construction), r) for r in reports if r.spec.construction]
    return all(one in made and base_unchanged(made[one], user) for one, user in users)


def plausible(*held: Iterable[Report]) -> bool:
    """Whether the AUC of every run lies between 0 and 1 and its log-loss is finite and above 0.

    On val and on test. For runs of models; a construction has neither.
    """
    measured = [report.metrics[part] for one in held for report in one for part in ("val", "test")]
    return all(
        0 < metrics["auc"] < 1 and 0 < metrics["log_loss"] < math.inf for metrics in measured
    )


def _identity(construction: RunSpec) -> tuple[DataSpec, str]:
    """What makes a construction this one; specs may differ in what no base reads."""
    return construction.data, construction.key("")
