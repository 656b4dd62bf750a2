"""The page of the training benchmark and its goals, made of the kept cases alone."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ctr.frameworks import MODELS, PEERS
from ctr.page import left_out, ratios, spread
from harness.goals import Goal, goals_table
from harness.results import Cases, table
from harness.surroundings import described

Case = Mapping[str, Any]
REFERENCE = "ours, lazy-adam"
# Adam to rounding, as the peers have it; what else is ours counts where its accuracy was measured.
EXACT = (REFERENCE, "ours, adam")
VARIANTS = (*EXACT, "ours, row-adagrad", "ours, lazy-adam-bf16", "ours, row-adagrad-bf16")
PARITY = 0.003  # of the area under the curve
TITLES = {"lr": "LR", "deepfm": "DeepFM", "din": "DIN", "dien": "DIEN", "sim": "SIM"}
SIZES = (100_000, 5_000_000)  # rows of the table that are compared
PLAIN = "torch, Adam"
FEATURE_ROWS = 301_500  # of which the goals are


def speed_name(model: str, batch: int) -> str:
    """The case of a race: "deepfm, batch 512"."""
    return f"{model}, batch {batch}"


def accuracy_name(model: str) -> str:
    """The case of trainings to the end."""
    return f"{model}, accuracy"


TABLE, IMPORTS = "table size", "imports"


def row_name(rows: int, who: str) -> str:
    """The entry of a table of so many rows."""
    return f"{who}, {rows:,} rows"


def goals(every: Cases) -> list[Goal]:
    """What was to be reached, and what was; cases of other sizes do not count."""
    cases = {
        name: one
        for name, one in every.items()
        if one.get("feature_rows", FEATURE_ROWS) == FEATURE_ROWS
    }
    others = tuple(peer for peer in PEERS if peer != "fuxictr")
    wanted = [
        ("deepfm", 512, ("fuxictr",), 10.0, "fuxictr"),
        ("deepfm", 512, PEERS, 3.0, "the best peer"),
        ("deepfm", 4096, ("fuxictr",), 4.0, "fuxictr"),
    ]
    for batch in (512, 4096):
        wanted += [
            ("din", batch, ("fuxictr",), 1.7, "fuxictr"),
            ("din", batch, others, 2.0, "the best of the others"),
            ("dien", batch, PEERS, 2.0, "the best peer"),
            ("sim", batch, PEERS, 3.0, "the best peer"),
        ]
    found = []
    for model, batch, peers, bound, against in wanted:
        times, who = fastest(cases, model, batch, peers)
        text = f"{TITLES[model]}, batch {batch:,}, against {against}{who}"
        found.append(Goal(text=text, bound=bound, measured=times, unit="x"))
    return [*found, *_other_goals(cases)]


def _other_goals(cases: Cases) -> list[Goal]:
    small, large = (row_name(rows, REFERENCE) for rows in SIZES)
    growth = _table_ratio(cases, small, large)
    leads = {
        name: _table_ratio(cases, row_name(SIZES[1], name), row_name(SIZES[1], PLAIN))
        for name in counted(cases, "deepfm")
    }
    lead, leader = max(((one, name) for name, one in leads.items() if one), default=(None, ""))
    memory = None
    case = cases.get(speed_name("din", 4096))
    if case is not None:
        peers = [case["memory"][peer] for peer in PEERS if peer in case["memory"]]
        memory = case["memory"][REFERENCE] / min(peers) if peers else None
    seconds = cases.get(IMPORTS, {}).get("seconds", {}).get("ours")
    found = [
        Goal(
            text="A step at 5,000,000 rows, of one at 100,000",
            bound=1.5,
            measured=growth,
            unit="x",
            at_least=False,
        ),
        Goal(
            text="A step at 5,000,000 rows, against a dense Adam, the peers' default"
            + (f" ({leader})" if leader else ""),
            bound=100.0,
            measured=lead,
            unit="x",
        ),
        Goal(
            text="DIN, batch 4,096, peak memory, of the best peer's",
            bound=0.5,
            measured=memory,
            unit="x",
            at_least=False,
        ),
        Goal(
            text="Import",
            bound=1.6,
            measured=None if seconds is None else seconds["median"],
            unit=" CPU-s",
            at_least=False,
        ),
    ]
    for model in MODELS:
        gap, who = behind(cases, model)
        text = f"{TITLES[model]}, area under the curve behind the best peer{who}"
        if gap is not None:
            found.append(Goal(text=text, bound=PARITY, measured=gap, at_least=False))
    return found


def _table_ratio(cases: Cases, one: str, other: str) -> float | None:
    """How many times as fast `one` of the table sizes is as `other`."""
    held = ratios(cases[TABLE]["speed"], one, other) if TABLE in cases else None
    return None if held is None else statistics.median(held)


def fastest(cases: Cases, model: str, batch: int, peers: Iterable[str]) -> tuple[float | None, str]:
    """(times that the fastest of ours is as fast as the fastest of `peers`; which of ours).

    Of ours, those that are `counted`.
    """
    case = cases.get(speed_name(model, batch))
    if case is None:
        return None, ""
    found = {}
    for name in counted(cases, model):
        held = [ratios(case["speed"], name, peer) for peer in peers]
        medians = [statistics.median(one) for one in held if one is not None]
        if medians:
            found[name] = min(medians)
    if not found:
        return None, ""
    best = max(found, key=found.__getitem__)
    return found[best], f" ({best})"


def counted(cases: Cases, model: str) -> list[str]:
    """Those of ours whose speed counts for a model.

    Where areas were measured, those at most the bound behind the best peer, if there are any; else
    those that train as the peers do.
    """
    gaps = _gaps(cases, model)
    return [name for name in VARIANTS if gaps.get(name, 1.0) <= PARITY] or list(EXACT)


def behind(cases: Cases, model: str) -> tuple[float | None, str]:
    """(by how much the mean area of ours is below the best peer's; which of ours).

    Of ours, the fastest that counts for speed; where no speed was measured, the nearest.
    """
    gaps = _gaps(cases, model)
    if not gaps:
        return None, ""
    speed = cases.get(speed_name(model, 512), {}).get("speed", {})
    able = [name for name in counted(cases, model) if name in speed and name in gaps]
    if not able:
        name = min(gaps, key=gaps.__getitem__)
        return gaps[name], f" ({name})"
    times = {name: ratios(speed, name, able[0]) or [0.0] for name in able}
    name = max(able, key=lambda one: statistics.median(times[one]))
    return gaps[name], f" ({name})"


def _gaps(cases: Cases, model: str) -> dict[str, float]:
    """By how much each of ours is below the best peer; empty if areas were not measured."""
    held = cases.get(accuracy_name(model), {}).get("trained", {})
    peer = _best_mean(held, PEERS)
    if peer is None:
        return {}
    return {name: peer - _mean(held[name]) for name in VARIANTS if name in held}


def _mean(trained: Sequence[Case]) -> float:
    return statistics.mean(one["auc"] for one in trained)


def _best_mean(held: Case, names: Iterable[str]) -> float | None:
    return max((_mean(held[name]) for name in names if name in held), default=None)


def page(cases: Cases) -> str:
    """Goals first, then a section per case."""
    parts = [
        "# Training: rokkit and other frameworks",
        "One thread; every framework trains in a process of its own, by its own loader and loop, "
        "and they take turns in an order drawn anew for each round. A turn is an epoch, counted "
        "from the end of its first step to that of its last; the epoch before the first round is "
        "not counted. Samples/s are per processor second of the process: medians over rounds, "
        "lowest and highest in brackets. Ours: how many times as fast "
        f"`{REFERENCE}` is, round by round. Memory: the most that the process ever held.",
        "## Goals",
        goals_table(goals(cases)),
        "Of ours, the fastest counts among those whose area under the curve was measured to be at "
        f"most {PARITY:g} below the best peer's; where areas were not measured, among those that "
        "train as the peers do (adam, lazy-adam).",
    ]
    for name in sorted(cases, key=_rank):
        parts += [f"## {_title(name)}", *_section(name, cases[name])]
    return "\n\n".join(parts)


def _title(name: str) -> str:
    model, _, rest = name.partition(", ")
    return f"{TITLES[model]}, {rest}" if model in TITLES else name.capitalize()


def _rank(name: str) -> tuple[int, int, str]:
    model, _, rest = name.partition(", ")
    place = MODELS.index(model) if model in MODELS else len(MODELS)
    return place, int(rest.rpartition(" ")[2]) if "batch" in rest else 10**9, name


def _section(name: str, case: Case) -> list[str]:
    make = {TABLE: _table_size, IMPORTS: _imports}.get(name)
    if make is None:
        make = _accuracy if "trained" in case else _speed
    return [described(case["about"], case["load"]), make(case), *left_out(case)]


def _speed(case: Case) -> str:
    rows = []
    for name, one in sorted(case["speed"].items(), key=lambda held: -held[1]["cpu"]["median"]):
        parameters = case["parameters"].get(name)
        rows.append(
            (
                name,
                spread(one["cpu"]),
                spread(one["times"], 2),
                f"{one['wall']['median']:,.0f}",
                f"{case['memory'][name] / 1e6:,.0f}",
                "–" if parameters is None else f"{parameters:,}",
            )
        )
    header = ("Framework", "Samples/s", "Ours", "by wall", "Memory MB", "Parameters")
    said = f"{case['steps']} steps in a turn. {case.get('said', '')}".rstrip()
    return said + "\n\n" + table(header, rows)


def _table_size(case: Case) -> str:
    rows = []
    for name in sorted(case["speed"], key=lambda one: (one.split(", ")[:-1], _rows_of(one))):
        taken = case["speed"][name]["turns"]
        steps = [1e3 * one["cpu"] * case["batch"] / one["units"] for one in taken]
        held = {"median": statistics.median(steps), "low": min(steps), "high": max(steps)}
        rows.append((name, spread(held, 2), f"{case['memory'][name] / 1e6:,.0f}"))
    header = ("Optimizer and rows", "CPU-ms per step", "Memory MB")
    return f"DeepFM, batch {case['batch']}.\n\n" + table(header, rows)


def _rows_of(name: str) -> int:
    return int(name.rpartition(", ")[2].split()[0].replace(",", ""))


def _imports(case: Case) -> str:
    rows = [
        (name, spread(held, 2))
        for name, held in sorted(case["seconds"].items(), key=lambda one: one[1]["median"])
    ]
    return table(("Framework", "CPU-seconds"), rows)


def _accuracy(case: Case) -> str:
    rows = []
    for name, trained in sorted(case["trained"].items(), key=lambda held: -_mean(held[1])):
        aucs = [one["auc"] for one in trained]
        deviation = f" ± {statistics.stdev(aucs):.4f}" if len(aucs) > 1 else ""
        means = [statistics.mean(one[key] for one in trained) for key in ("log_loss", "epochs")]
        rows.append(
            (
                name,
                f"{_mean(trained):.4f}{deviation}",
                f"{means[0]:.4f}",
                f"{len(trained)}",
                f"{means[1]:.1f}",
                f"{statistics.mean(one['cpu'] for one in trained):,.0f}",
            )
        )
    header = ("Framework", "Test AUC", "Log-loss", "Seeds", "Best epoch", "CPU-s of steps")
    said = (
        f"{case['rows']:,} training rows, batch {case['batch']}; early stopping on the validation "
        f"rows. The probabilities that the labels were drawn with have {case['bayes']:.4f}."
    )
    return said + "\n\n" + table(header, rows)
