"""The page of the inference benchmark and its goals, made of the kept cases alone."""

import statistics
from collections.abc import Mapping
from typing import Any

from ctr.page import left_out, spread
from harness.goals import Goal, goals_table
from harness.results import Cases, table
from harness.surroundings import described

Case = Mapping[str, Any]
KNOWLEDGE, RIM = "din+rok", "rim"
RACES = ("deepfm", "din", "dien")
MODELS = (*RACES, KNOWLEDGE, RIM)
FORMS = ("eager", "pt2", "onnx", "compiled")
SAID = {"eager": "eager", "pt2": ".pt2", "onnx": "ONNX Runtime", "compiled": "compiled"}
TITLES = {"deepfm": "DeepFM", "din": "DIN", "dien": "DIEN", KNOWLEDGE: "DIN+ROK"}
OURS_NAMES = {RIM: "ours, RIM, search included"}
FEATURE_ROWS, POOL_ROWS = 301_500, 1_000_000  # of which the goals are
# Milliseconds of a forward pass of one row.
EAGER = {"deepfm": 0.07, "din": 0.2, "dien": 1.5}


def ours_name(model: str, form: str) -> str:
    """The entry of a model of ours: "ours, DIN+ROK, .pt2"."""
    return f"ours, {TITLES[model]}, {SAID[form]}"


def case_name(model: str, batch: int) -> str:
    """The case of a race: "din, batch 1"."""
    return f"{model}, batch {batch}"


def goals(every: Cases) -> list[Goal]:
    """What was to be reached for one row, and what was; cases of other sizes do not count."""
    sizes = {"feature_rows": FEATURE_ROWS, "pool_rows": POOL_ROWS}
    cases = {name: one for name, one in every.items() if all(one[k] == v for k, v in sizes.items())}
    found = [
        _below(f"{TITLES[model]}, eager, forward p50", bound, _forward(cases, model, "eager"))
        for model, bound in EAGER.items()
    ]
    din, rok = ours_name("din", "eager"), ours_name(KNOWLEDGE, "eager")
    more = _ratio(cases, rok, din, "forward")
    found.append(
        _below("What ROK adds to DIN, eager", 20, None if more is None else 100 * (more - 1), " %")
    )
    exported = [_forward(cases, KNOWLEDGE, form) for form in ("pt2", "onnx")]
    held = min((one for one in exported if one is not None), default=None)
    found.append(_below("DIN+ROK, exported, forward p50", 0.1, held))
    times = _ratio(cases, OURS_NAMES[RIM], din, "p50")
    found.append(_below("RIM, search and look-up included, of DIN with its look-up", 2, times, "x"))
    return found


def _below(text: str, bound: float, measured: float | None, unit: str = " ms") -> Goal:
    return Goal(text=text, bound=bound, measured=measured, unit=unit, at_least=False)


def _forward(cases: Cases, model: str, form: str) -> float | None:
    """Median milliseconds of a forward pass of one row."""
    race = "din" if model == KNOWLEDGE else model
    held = cases.get(case_name(race, 1), {}).get("latency", {}).get(ours_name(model, form))
    return None if held is None else held["stages"]["forward"]["median"]


def _ratio(cases: Cases, one: str, other: str, what: str) -> float | None:
    """Round by round, how many times as long `one` takes; the median."""
    held = cases.get(case_name("din", 1), {}).get("latency", {})
    if one not in held or other not in held:
        return None
    pairs = zip(held[one]["rounds"], held[other]["rounds"], strict=True)
    return statistics.median(a[what] / b[what] for a, b in pairs)


def page(cases: Cases) -> str:
    """Goals first, then a section per case."""
    parts = [
        "# Inference: rokkit and other frameworks",
        "Wall milliseconds of an answer, one thread. Every contender is a process of its own; "
        "they take turns in an order drawn anew for each round. Medians over rounds, lowest and "
        "highest in brackets. Look-up: from the numbers of rows to what the model takes, by the "
        "framework's own means; forward: from there to probabilities. Search: ours, of "
        "neighbours for RIM. p50 and p99 are of all stages together. Weights are as they were "
        "drawn: they change nothing here.",
        "## Goals",
        goals_table(goals(cases)),
    ]
    for name in sorted(cases, key=_rank):
        race, _, rest = name.partition(", ")
        parts += [f"## {TITLES[race]}, {rest}", *_section(cases[name])]
    return "\n\n".join(parts)


def _rank(name: str) -> tuple[int, int]:
    race, _, rest = name.partition(", ")
    return RACES.index(race), int(rest.rpartition(" ")[2])


def _section(case: Case) -> list[str]:
    rows = []
    for name, one in sorted(case["latency"].items(), key=lambda held: held[1]["p50"]["median"]):
        stages = one["stages"]
        rows.append(
            (
                name if one["rows"] == case["batch"] else f"{name} ({one['rows']} rows)",
                spread(one["p50"], 3),
                f"{one['p99']['median']:,.3f}",
                *(
                    f"{stages[stage]['median']:,.3f}" if stage in stages else "–"
                    for stage in ("search", "look-up", "forward")
                ),
                f"{1e3 * one['rows'] / one['p50']['median']:,.0f}",
            )
        )
    header = ("Contender", "p50 ms", "p99 ms", "Search", "Look-up", "Forward", "Rows/s")
    sizes = [
        (name, what, f"{held / 1e6:,.1f}")
        for name, each in case["bytes"].items()
        for what, held in each.items()
    ]
    parts = [described(case["about"], case["load"]), table(header, rows)]
    if sizes:
        parts.append(table(("What it takes to answer", "", "MB"), sizes))
    return [*parts, *left_out(case)]
