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
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.arguments import kept_in, parser
from harness.contenders import OutOfTheRace
from harness.results import Results
from harness.surroundings import called, load, surroundings
from rokkit.errors import unknown_name
from search import hard_shapes, tmall_like
from search.engines import OURS
from search.field import Effort, Field, at_hand
from search.report import EXHAUSTIVE, goals, name_of, page

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
    measured, wrong = [], []
    for kind, rows, fields in cases(asked):
        names = chosen if kind == "tmall-like" else [n for n in chosen if n in (OURS, *EXHAUSTIVE)]
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            case = run(kind, rows, fields, asked, effort, [contenders[n] for n in names], folder)
        if kind == "tmall-like" and asked.only is None:
            case["left_out"] += missing
        measured.append(name_of(kind, rows, fields))
        results.keep(measured[-1], case)
        wrong += [
            n for same in case["exact"].values() for n, one in same.items() if not one["holds"]
        ]
    print(results.page())
    for name in sorted(set(wrong)):
        print(f"{name}: its answers are not ours.")
    missed = [
        one
        for one in goals({name: results.cases[name] for name in measured})
        if one.verdict == "not met"
    ]
    return 1 if wrong or missed else 0


def arguments() -> argparse.Namespace:
    """What is asked for; sizes are filled in for --quick."""
    made = parser(__doc__)
    made.add_argument("--rows", type=size, nargs="+", help="sizes of the pool (default: 1e6)")
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
    asked = made.parse_args()
    for name, value in (QUICK_SIZES if asked.quick else FULL_SIZES).items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    return asked


def size(text: str) -> int:
    """A number of rows: 1000000 or 1e6."""
    return int(float(text))


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


def cases(asked: argparse.Namespace) -> list[tuple[str, int, str]]:
    """(kind, rows, fields) of each, small ones first."""
    found = [("tmall-like", rows, fields) for rows in sorted(asked.rows) for fields in asked.fields]
    return found + [(shape, asked.shape_rows, "five") for shape in asked.shapes]


def run(
    kind: str,
    rows: int,
    fields: str,
    asked: argparse.Namespace,
    effort: Effort,
    contenders: Sequence[Any],
    folder: str,
) -> dict[str, Any]:
    """Everything that is measured of one case."""
    place, begun, start = Path(folder), time.perf_counter(), load()
    print(f"{name_of(kind, rows, fields)} ...", file=sys.stderr, flush=True)
    hard = kind in hard_shapes.SHAPES
    width = hard_shapes.FIELDS if hard else tmall_like.FIELD_SETS[fields]
    shape = (kind,) if hard else ()
    make = hard_shapes.make if hard else tmall_like.make
    pool, queries = make(*shape, rows, effort.queries, asked.seed, place)
    found: dict[str, Any] = {"kind": kind, "rows": rows, "fields": width, "seed": asked.seed}
    found |= {"about": surroundings(called(), PACKAGES), "exact": {}, "speed": {}, "latency": {}}
    found["touched"] = {}
    with Field.of(contenders, pool, queries, rows, width, effort, place) as field:
        for k in [10] if hard else asked.k:
            found["exact"][k] = field.check(k)
            found["speed"][k] = field.speed(k)
            found["latency"][k] = field.latency(k)
            found["touched"][k] = field.touched(k)
        found |= {"opening": field.opening(), "building": field.building}
    found |= {"load": [start, load()], "left_out": field.left_out}
    print(f"  {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except OutOfTheRace as reason:
        raise SystemExit(f"our own engine dropped out: {reason}") from None
