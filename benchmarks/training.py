"""Training beside other frameworks: samples per CPU-second, memory, table size, import, accuracy.

    python benchmarks/training.py
    python benchmarks/training.py --models din --batches 4096 --only ours fuxictr
    python benchmarks/training.py --parts --accuracy --models deepfm din --seeds 5
    python benchmarks/training.py --quick

Made clicks (benchmarks/ctr/synth.py): 301,500 feature rows, histories of 20 to 50 behaviours. All
have the same arrays and settings. The peers FuxiCTR, RecBole, DeepCTR-Torch and torch-rechub live
in environments of their own (docs/benchmarks.md); those that are missing are left out, with a
note. --accuracy trains everyone to early stopping, so that the speed is known to be at equal
accuracy. Exit code 1: a goal is not met (--quick judges none).
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctr import training_cases as measure
from ctr import training_page as report
from ctr.frameworks import MODELS, OURS, PEERS
from ctr.race import check_names
from harness.arguments import kept_in, parsed, parser, size
from harness.contenders import OutOfTheRace
from harness.results import Results
from harness.surroundings import called, load, surroundings
from rokkit.progress import span

PARTS = ("speed", "table", "imports")
FULL: dict[str, Any] = {
    "parts": list(PARTS),
    "models": list(MODELS),
    "batches": [512, 4096],
    "ours": [name.removeprefix("ours, ") for name in report.VARIANTS],
    "only": [OURS, *PEERS],
    "feature_rows": report.FEATURE_ROWS,
    "table_rows": [100_000, 1_000_000, 5_000_000],
    "rounds": 5,
    "accuracy_rows": 100_000,
    "seeds": 5,
}
QUICK: dict[str, Any] = FULL | {
    "models": ["deepfm", "din"],
    "batches": [64],
    "ours": ["lazy-adam", "row-adagrad"],
    "only": [OURS],
    "feature_rows": 3000,
    "table_rows": [2000, 4000],
    "rounds": 2,
    "accuracy_rows": 1024,
    "seeds": 1,
}
Keep = Callable[[Mapping[str, Any]], None]


def main() -> int:
    """Run the parts, keep each case, print the page; 1 if a goal is not met."""
    asked = arguments()
    results = Results("training", kept_in(asked), report.page)
    parts = list(asked.parts) + (["accuracy"] if asked.accuracy else [])
    names = []
    for name, make in cases(asked, parts):
        begun, start = time.perf_counter(), load()

        def keep(found: Mapping[str, Any], name: str = name, start: Any = start) -> None:
            about = surroundings(called(), ("rokkit", "torch", "numpy"))
            about["versions"] |= found.get("versions", {})
            results.keep(name, {**found, "about": about, "load": [start, load()]})

        make(keep)
        names.append(name)
        print(f"{name}: {span(time.perf_counter() - begun)}", file=sys.stderr)
    measured = {name: results.cases[name] for name in names}
    print(results.page())
    missed = [goal.text for goal in report.goals(measured) if goal.verdict == "not met"]
    return 1 if missed and not asked.quick else 0


def arguments() -> argparse.Namespace:
    """What is asked for; sizes are filled in, small ones for --quick."""
    made = parser(__doc__)
    made.add_argument("--parts", nargs="*", choices=PARTS, help="default: all of them")
    made.add_argument(
        "--accuracy", action="store_true", help="train to early stopping too (hours at full size)"
    )
    made.add_argument("--models", nargs="+", choices=MODELS, help="default: all")
    made.add_argument("--batches", type=int, nargs="+", help="rows per step (default: 512 4096)")
    made.add_argument(
        "--ours", nargs="+", choices=FULL["ours"], help="optimizers of ours (default: all)"
    )
    made.add_argument("--only", nargs="+", metavar="FRAMEWORK", help="default: ours and all peers")
    made.add_argument("--feature-rows", type=size, help="ids in all (default: 301,500)")
    made.add_argument("--table-rows", type=size, nargs="+", help="default: 1e5 1e6 5e6")
    made.add_argument("--rounds", type=int, help="rounds of turns (default: 5)")
    made.add_argument("--accuracy-rows", type=size, help="training rows (default: 1e5)")
    made.add_argument("--seeds", type=int, help="trainings of each for --accuracy (default: 5)")
    made.add_argument("--seed", type=int, default=0, help="of the made clicks")
    made.add_argument("--folder", type=Path, help="for what is made on the way")
    asked = parsed(made, FULL, QUICK)
    check_names(asked.only)
    # What everyone is compared with is always there.
    asked.ours = list(dict.fromkeys([report.REFERENCE.removeprefix("ours, "), *asked.ours]))
    return asked


def cases(
    asked: argparse.Namespace, parts: Sequence[str]
) -> Iterator[tuple[str, Callable[[Keep], None]]]:
    """What is to be measured: the name of each case, and what measures and keeps it."""
    if "imports" in parts:
        yield report.IMPORTS, lambda keep: keep(measure.imports(asked))
    if "speed" in parts:
        for model in asked.models:
            for batch in asked.batches:
                name = report.speed_name(model, batch)
                yield name, lambda keep, m=model, b=batch: keep(measure.speed(asked, m, b))
    if "table" in parts:
        yield report.TABLE, lambda keep: keep(measure.table_size(asked))
    if "accuracy" in parts:
        for model in asked.models:
            name = report.accuracy_name(model)
            yield name, lambda keep, m=model: measure.trained(asked, m, keep)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except OutOfTheRace as reason:
        raise SystemExit(f"our own framework dropped out: {reason}") from None
