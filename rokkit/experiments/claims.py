"""Facts about finished runs that a notebook asserts, read from the run folders."""

from collections.abc import Iterable

import torch

from rokkit.experiments.report import Report
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
    made = {report.spec: report for report in constructions}
    users = [(r.spec.construction, r) for r in reports if r.spec.construction is not None]
    return all(one in made and base_unchanged(made[one], user) for one, user in users)
