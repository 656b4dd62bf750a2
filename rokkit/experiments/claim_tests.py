"""What tests the claims on how well systems predict, and on the spaces of r and z.

Each function goes from the evidence of a study to findings; none knows how one comes out.
"""

from collections.abc import Iterable, Sequence

from rokkit.evaluation.compare import Metric
from rokkit.experiments import paper
from rokkit.experiments.evidence import Evidence, Finding, NotRunError, Side, above
from rokkit.experiments.spaces import kept_measures
from rokkit.experiments.systems import ROK
from rokkit.experiments.variants import best_on_validation

MIXED = 0.9  # train and test samples lie among each other: nine tenths of what chance gives


def pairs(evidence: Evidence, ahead: Sequence[str], behind: Sequence[str]) -> Iterable[Finding]:
    """Each of `ahead` better than each of `behind`, as far as the study has them."""
    for one in evidence.having(ahead):
        for other in evidence.having(behind):
            yield evidence.better(one, other)


def _own(evidence: Evidence) -> str:
    """The study's backbone with ROK, which stands for ROK in Table 2."""
    return evidence.settings.backbone + ROK


def own_against(evidence: Evidence, others: Sequence[str]) -> Iterable[Finding]:
    """The backbone with ROK better than each of `others`, as far as the study has them."""
    for other in evidence.having(others):
        yield evidence.better(_own(evidence), other)


def surpasses_teacher(evidence: Evidence) -> Iterable[Finding]:
    """The backbone with ROK better than the study's teacher, and than the one its base learnt from.

    These are one and the same unless the study has settings for ROK's teacher alone.
    """
    own, teacher = _own(evidence), evidence.settings.teacher.upper()
    yield from own_against(evidence, [teacher])
    learnt_from = Side(own, name=f"{teacher} as its teacher", teacher=True)
    if evidence.specs(learnt_from) != evidence.specs(teacher):
        yield evidence.better(own, learnt_from)


def gain(evidence: Evidence, metric: Metric) -> Iterable[Finding]:
    """Every backbone of the study better with ROK than without."""
    for name in evidence.settings.backbones:
        yield evidence.better(name + ROK, name, metric)


def close_to_dense(evidence: Evidence) -> Iterable[Finding]:
    """The backbone with ROK behind DERT by no more than where the paper still calls it close.

    Its largest distance is that of Taobao in Table 2.
    """
    (dense,) = evidence.having(["DERT"])
    printed = [[paper.value(2, one, d, "AUC") for one in ("DERT", "ROK")] for d in paper.DATASETS]
    distance = max(dert - rok for dert, rok in printed if dert is not None and rok is not None)
    yield evidence.no_worse(_own(evidence), dense, round(distance, 4))


def elite_backbone(evidence: Evidence) -> Iterable[Finding]:
    """UBR with ROK better than the study's backbone with ROK."""
    evidence.having(["UBR" + ROK])
    yield evidence.better("UBR" + ROK, _own(evidence))


def contrast_prevents_collapse(evidence: Evidence) -> Iterable[Finding]:
    """z of test samples less collapsed with the study's alpha than with 0, base by base."""
    if 0.0 not in evidence.settings.alphas or not evidence.settings.alpha:
        raise NotRunError("the study compares no alpha with 0")
    system = _own(evidence)
    with_it, without = (
        evidence.runs([one.construction for one in evidence.specs(side) if one.construction])
        for side in (system, Side.of(system, alpha=0.0))
    )
    differences = [
        bare.metrics["test"]["collapse"] - held.metrics["test"]["collapse"]
        for bare, held in zip(without, with_it, strict=True)
    ]
    what = f"collapse of alpha 0 - of {evidence.settings.alpha}"
    yield above(what, differences, 0.0, "collapse")


def better_teacher(evidence: Evidence) -> Iterable[Finding]:
    """For the first teacher that predicts better than the study's: every backbone with its base."""
    own = evidence.settings.teacher.upper()
    systems = [one.upper() for one in evidence.settings.systems]
    taught = {  # by teacher, the systems whose backbone the study has with its own teacher's base
        t: [s for s in systems if s.endswith(f"{ROK}-{t}") and s.removesuffix(f"-{t}") in systems]
        for t in ("DERT", "PET")
        if t != own and t in systems
    }
    if not any(taught.values()):
        raise NotRunError(f"the study has no base from another teacher than {own}")
    for other, users in taught.items():
        if users and evidence.better(other, own).word == "holds":
            yield from (evidence.better(one, one.removesuffix(f"-{other}")) for one in users)
            return
    raise NotRunError(f"no teacher of the study is decided to predict better than {own}")


def _variant(kind: str, name: str) -> Side:
    system = name + {"RIM": "+R", "ROK": ROK}[kind]
    return Side.of(system, f"{kind}({name})", manner="instance")


def z_better_than_r(evidence: Evidence) -> Iterable[Finding]:
    """ROK(LR) and ROK(MLP) better than RIM(LR) and RIM(MLP)."""
    for name in ("LR", "MLP"):
        yield evidence.better(_variant("ROK", name), _variant("RIM", name))


def z_better_than_nothing(evidence: Evidence) -> Iterable[Finding]:
    """ROK(LR) and ROK(MLP) better than LR and MLP."""
    for name in ("LR", "MLP"):
        yield evidence.better(_variant("ROK", name), name)


def simple_beats_deepfm(evidence: Evidence) -> Iterable[Finding]:
    """ROK(MLP) better than DeepFM."""
    yield evidence.better(_variant("ROK", "MLP"), "DEEPFM")


def fix_is_best(evidence: Evidence) -> Iterable[Finding]:
    """A frozen base better than one whose g, or f and g, are trained further."""
    system = _own(evidence)
    fix = Side.of(system, "Fix", update="fix", manner="both")
    for name, update in (("Upd g", "g"), ("Upd f+g", "fg")):
        yield evidence.better(fix, Side.of(system, name, update=update, manner="both"))


def top_is_better(evidence: Evidence) -> Iterable[Finding]:
    """The most related neighbour a better positive than a random one."""
    system = _own(evidence)
    top = Side.of(system, "most related", positive="top")
    yield evidence.better(top, Side.of(system, "random", positive="random"))


def ends_are_worse(evidence: Evidence) -> Iterable[Finding]:
    """The alpha that validation chooses between 0 and 1 better than either."""
    system = _own(evidence)
    sides = {a: Side.of(system, f"alpha {a}", alpha=a) for a in evidence.settings.alphas}
    inner = {a: evidence.reports(side) for a, side in sides.items() if 0 < a < 1}
    ends = [a for a in (0.0, 1.0) if a in sides]
    if not inner or not ends:
        raise NotRunError("alphas have no end or nothing between")
    chosen = best_on_validation(inner)
    for end in ends:
        yield evidence.better(sides[chosen], sides[end])


def _spaces(evidence: Evidence) -> list[dict[str, dict[str, float]]]:
    """Measures of r and of z, of the base of each seed."""
    found = []
    for report in evidence.reports("MLP" + ROK):
        one = report.spec.construction
        assert one is not None
        (construction,), parents = evidence.runs([one]), evidence.runs(one.parents())
        found.append(kept_measures(construction, parents, evidence.settings.points))
    return found


def z_clusters_more(evidence: Evidence) -> Iterable[Finding]:
    """The silhouette of labels in z above that in r, base by base."""
    held = _spaces(evidence)
    differences = [one["z"]["Silhouette"] - one["r"]["Silhouette"] for one in held]
    yield above("silhouette of z - of r", differences, 0.0, "silhouette")


def z_generalises(evidence: Evidence) -> Iterable[Finding]:
    """Train and test samples mixed in z, base by base, to at least `MIXED`."""
    mixing = [one["z"]["Mixing"] for one in _spaces(evidence)]
    yield above(f"mixing of z - {MIXED}", mixing, MIXED, "mixing")
