"""The exact index against other engines: speed, single calls, size, building, opening.

    python benchmarks/retrieval.py --rows 1000000 10000000
    python benchmarks/retrieval.py --rows 55000000 --only ours lucene --shapes
    python benchmarks/retrieval.py --quick

The pool is made, with the sizes and the skew of the Tmall log (benchmarks/search/tmall_like.py);
rim5 are the five fields that RIM searches, all9 all nine. The hard shapes are pools on which a
search that skips rows gains least; there the opponents are two exhaustive searches. Before
anything is timed, the answers of every engine are compared with ours. Engines that are not
installed are left out, with a note: pip install 'rokkit[bench]' brings them. Exit code 1: a goal is
not met, or an engine's answers are not ours.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.arguments import kept_in, parsed, parser, size
from harness.contenders import Contender, OutOfTheRace
from harness.results import Cases, Results
from harness.scratch import scratch
from harness.surroundings import called, load, surroundings
from rokkit.errors import unknown_name
from rokkit.progress import span
from search import hard_shapes, tmall_like
from search.engines import OURS
from search.field import Effort, Field, at_hand
from search.pools import FIVE, TMALL, Pool
from search.report import EXHAUSTIVE, goals, page

PACKAGES = ("rokkit", "numpy", "numba", "scipy", "bm25s", "sparse_dot_topn", "tantivy")
FULL = Effort(
    queries=100_000,
    checked=500,
    rounds=5,
    turn_seconds=2.0,
    warm_up_seconds=10.0,
    calls=5000,
)
QUICK = Effort(queries=200, checked=50, rounds=2, turn_seconds=0.02, warm_up_seconds=0.0, calls=20)
FULL_SIZES = {
    "rows": [1_000_000],
    "shape_rows": 1_000_000,
    "fields": list(tmall_like.FIELD_SETS),
    "shapes": list(hard_shapes.SHAPES),
    "k": [10, 100],
}
QUICK_SIZES = {
    "rows": [2000],
    "shape_rows": 2000,
    "fields": ["rim5"],
    "shapes": ["uniform-20"],
    "k": [10],
    "only": [OURS, *EXHAUSTIVE],
}


def main() -> int:
    """Run the cases, keep each, print the page; 1 if a goal is not met or an answer differs."""
    asked = arguments()
    contenders, missing = at_hand()
    chosen = chosen_of(asked.only, list(contenders))
    effort = replace(QUICK if asked.quick else FULL, **given(asked))
    results = Results("retrieval", kept_in(asked), page)
    measured = {}
    for pool in pools(asked):
        names = [n for n in chosen if n in (OURS, *EXHAUSTIVE)] if pool.hard else chosen
        case = run(pool, asked, effort, [contenders[name] for name in names])
        case["left_out"] += [] if pool.hard or asked.only else missing
        results.keep(pool.name, case)
        measured[pool.name] = results.cases[pool.name]
    print(results.page())
    wrong = differing(measured)
    for one in wrong:
        print(f"{one}: its answers are not ours.", file=sys.stderr)
    missed = [goal.text for goal in goals(measured) if goal.verdict == "not met"]
    return 1 if missed or wrong else 0


def differing(cases: Cases) -> list[str]:
    """The engines whose answers were not ours, case by case."""
    return [
        f"{case}: {name}"
        for case, found in cases.items()
        for same in found["exact"].values()
        for name, one in same.items()
        if not one["holds"]
    ]


def arguments() -> argparse.Namespace:
    """What is asked for; sizes are filled in for --quick."""
    made = parser(__doc__)
    made.add_argument("--rows", type=size, nargs="*", help="sizes of the pool (default: 1e6)")
    made.add_argument(
        "--fields",
        nargs="+",
        choices=list(tmall_like.FIELD_SETS),
        help="fields searched (default: both)",
    )
    made.add_argument("--k", type=int, nargs="+", help="rows wanted (default: 10 100)")
    made.add_argument(
        "--shapes",
        nargs="*",
        choices=list(hard_shapes.SHAPES),
        help="hard shapes (default: all)",
    )
    made.add_argument("--shape-rows", type=size, help="their size (default: 1e6)")
    made.add_argument(
        "--only",
        nargs="+",
        metavar="ENGINE",
        help="engines whose names begin so (default: all; with --quick: ours and "
        "the exhaustive ones)",
    )
    made.add_argument("--queries", type=size, help="queries at hand (default: 1e5)")
    made.add_argument("--rounds", type=int, help="rounds of turns (default: 5)")
    made.add_argument("--turn-seconds", type=float, help="of each engine (default: 2)")
    made.add_argument("--warm-up-seconds", type=float, help="not counted (default: 10)")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--folder",
        type=Path,
        help="for what is made on the way (default: the system's; 55 M rows take 12 GB)",
    )
    return parsed(made, FULL_SIZES, QUICK_SIZES)


def given(asked: argparse.Namespace) -> dict[str, Any]:
    """The settings of the effort that are given."""
    names = ("queries", "rounds", "turn_seconds", "warm_up_seconds")
    return {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}


def chosen_of(only: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The engines that are asked for, ours always first among them."""
    for name in only or ():
        if not any(one.startswith(name) for one in known) and name != "lucene":
            raise SystemExit(unknown_name("engine", name, known))
    found = [n for n in known if only is None or n.startswith(tuple(only))]
    return [OURS, *(n for n in found if n != OURS)]


def pools(asked: argparse.Namespace) -> list[Pool]:
    """Those that are asked for, small ones first."""
    found = [Pool(TMALL, rows, fields) for rows in sorted(asked.rows) for fields in asked.fields]
    return found + [Pool(shape, asked.shape_rows, FIVE) for shape in asked.shapes]


def run(
    pool: Pool, asked: argparse.Namespace, effort: Effort, contenders: Sequence[Contender]
) -> dict[str, Any]:
    """Everything that is measured of one pool."""
    begun, start = time.perf_counter(), load()

    def tell(what: str) -> None:
        print(f"{pool.name}: {what}, {span(time.perf_counter() - begun)}", file=sys.stderr)

    found: dict[str, Any] = {"exact": {}, "speed": {}, "latency": {}, "touched": {}}
    with (
        scratch(asked.folder) as folder,
        Field.of(contenders, pool, asked.seed, effort, folder) as field,
    ):
        tell(f"{len(field.running)} engines built")
        for k in [10] if pool.hard else asked.k:
            found["exact"][k] = field.check(k)
            found["touched"][k] = field.touched(k)
            tell(f"K = {k}, answers compared")
            found["speed"][k] = field.speed(k)
            found["latency"][k] = field.latency(k)
            tell(f"K = {k}, measured")
        found |= {"opening": field.opening(), "building": field.building}
    about = surroundings(called(), PACKAGES)
    for name, built in field.building.items():
        if "runtime" in built:
            about["versions"][name] = built["runtime"]
    sizes = {"kind": pool.kind, "rows": pool.rows, "fields": pool.width, "seed": asked.seed}
    rest = {"load": [start, load()], "left_out": field.left_out, "about": about}
    return found | sizes | rest


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except OutOfTheRace as reason:
        raise SystemExit(f"our own engine dropped out: {reason}") from None
