"""The page of the retrieval benchmark and its goals, made of the kept cases alone."""

from collections.abc import Mapping
from typing import Any

from harness.goals import Goal, goals_table
from harness.results import Cases, table
from harness.surroundings import described
from search.engines import OURS
from search.field import BEFORE
from search.hard_shapes import SHAPES
from search.pools import FIVE, TMALL, Pool

Case = Mapping[str, Any]
EXHAUSTIVE = ("term at a time", "row by row")
MILLION = 1_000_000
WHOLE = 55_000_000  # the Tmall log


def goals(cases: Cases) -> list[Goal]:
    """What was to be reached on one thread, K = 10, and what was."""
    five = cases.get(Pool(TMALL, MILLION, "rim5").name)
    nine = cases.get(Pool(TMALL, MILLION, "all9").name)
    whole = cases.get(Pool(TMALL, WHOLE, "rim5").name)
    ten = cases.get(Pool(TMALL, 10 * MILLION, "rim5").name)
    found = [
        Goal(text=f"{text}, against {peer}", bound=bound, measured=_times(case, peer), unit="x")
        for text, case, peer, bound in (
            ("1 M rows, five fields", five, "lucene", 30),
            ("1 M rows, five fields", five, "tantivy", 40),
            ("1 M rows, five fields", five, "scipy", 40),
            ("1 M rows, five fields", five, "bm25s", 250),
            ("1 M rows, nine fields", nine, "lucene", 25),
        )
    ]
    for percentile, bound in (("p50", 10), ("p99", 50)):
        found.append(
            Goal(
                text=f"55 M rows, five fields, {percentile} of a call",
                bound=bound,
                measured=_latency(whole, percentile),
                unit=" µs",
                at_least=False,
            )
        )
    for shape in SHAPES:
        case = cases.get(Pool(shape, MILLION, FIVE).name)
        times = [one for one in (_times(case, name) for name in EXHAUSTIVE) if one is not None]
        found.append(
            Goal(
                text=f"1 M rows, {shape}, against the better exhaustive search",
                bound=1,
                measured=min(times, default=None),
                unit="x",
            )
        )
    seconds = None if ten is None else ten["opening"].get(OURS)
    opening = Goal(text="10 M rows, opening", bound=1, measured=seconds, unit=" s", at_least=False)
    return [*found, opening]


def _times(case: Case | None, peer: str) -> float | None:
    """How many times as fast as the fastest engine whose name begins with `peer`, at K = 10."""
    speed = {} if case is None else case["speed"].get("10", {})
    times = [one["times"]["median"] for name, one in speed.items() if name.startswith(peer)]
    return min(times, default=None)


def _latency(case: Case | None, percentile: str) -> float | None:
    found = {} if case is None else case["latency"].get("10", {})
    return found[OURS][percentile]["median"] if OURS in found else None


def page(cases: Cases) -> str:
    """Goals first, then a section per case."""
    parts = [
        "# Retrieval: the exact index and other engines",
        "Medians over rounds, lowest and highest in brackets; one thread; every engine is a "
        "process of its own, and they take turns in an order drawn anew for each round. A turn "
        "answers the first queries of one random order, as many as its seconds allow. Queries/s: "
        "per processor second of the engine's process. Ours: how many times as fast ours is, "
        "round by round. Calls with one query are timed by wall clock.",
        "## Goals",
        goals_table(goals(cases)),
    ]
    for name in sorted(cases, key=lambda one: _rank(cases[one])):
        parts += [f"## {name}", *_section(cases[name])]
    return "\n\n".join(parts)


def _rank(case: Case) -> tuple[bool, str, int, int]:
    """Tmall-like pools first, small ones first."""
    return case["kind"] in SHAPES, case["kind"], case["rows"], case["fields"]


def _section(case: Case) -> list[str]:
    parts = [described(case["about"], case["load"]), _building(case)]
    for k, speed in sorted(case["speed"].items(), key=lambda held: int(held[0])):
        parts += [f"K = {k}. {_ours(case, k)}", _speed(speed, case["latency"][k], case["exact"][k])]
    if case["left_out"]:
        parts.append("Left out:\n\n" + "\n".join(f"- {one}" for one in case["left_out"]))
    return parts


def _ours(case: Case, k: str) -> str:
    looked, same = case["touched"][k], [one["queries"] for one in case["exact"][k].values()]
    return (
        f"Ours looks at {looked['mean']:,.0f} rows per query (p50 {looked['p50']:,.0f}, p99 "
        f"{looked['p99']:,.0f}). Answers are compared on {max(same, default=0):,} queries."
    )


def _building(case: Case) -> str:
    rows = []
    for name, one in sorted(case["building"].items(), key=lambda held: held[1]["wall"]):
        opening = case["opening"].get(name)
        rows.append(
            (
                name,
                f"{one['wall']:,.2f}",
                f"{case['rows'] / one['wall']:,.0f}",
                f"{one['bytes'] / case['rows']:.1f}",
                "–" if opening is None else f"{opening:.4f}",
            )
        )
    return table(("Engine", "Build s", "Rows/s", "Bytes/row", "Opening s"), rows)


def _speed(speed: Case, latency: Case, exact: Case) -> str:
    rows = []
    for name, one in sorted(speed.items(), key=lambda held: -held[1]["cpu"]["median"]):
        call = latency.get(name)
        same = exact.get(OURS if name == BEFORE else name)
        rows.append(
            (
                name,
                _spread(one["cpu"]),
                _spread(one["times"], 2),
                f"{one['wall']['median']:,.0f}",
                "–" if call is None else f"{call['p50']['median']:,.1f}",
                "–" if call is None else f"{call['p99']['median']:,.1f}",
                _agreement(name, same),
            )
        )
    header = ("Engine", "Queries/s", "Ours", "by wall", "Call p50 µs", "p99 µs", "Answers")
    return table(header, rows)


def _spread(rate: Mapping[str, float], digits: int = 0) -> str:
    low, high = (f"{rate[end]:,.{digits}f}" for end in ("low", "high"))
    return f"{rate['median']:,.{digits}f} ({low} – {high})"


def _agreement(name: str, same: Mapping[str, Any] | None) -> str:
    if name in (OURS, BEFORE) or same is None:
        return "–"
    if not same["ordered"]:
        return "same scores"
    return (
        "same rows"
        if same["identical"] == same["queries"]
        else (f"same rows in {same['identical']:,}, else same scores")
    )
