"""Inference beside other frameworks: one row and many, eager and exported, ROK, RIM with search.

    python benchmarks/inference.py
    python benchmarks/inference.py --models din din+rok rim --batches 1 --rounds 9
    python benchmarks/inference.py --quick

DeepFM, DIN and DIEN of ours with BatchNorm folded in (eager), as the exported .pt2 program and by
ONNX Runtime where it is installed, beside the peers' models; DIN with a knowledge base in both
manners; RIM with its search for 10 neighbours among a million rows. torch.compile is left out
unless asked for (--forms eager pt2 onnx compiled): it takes minutes. The look-up of a row and the
forward pass are timed apart. Exit code 1: a goal is not met (--quick judges none).
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ctr import inference_cases
from ctr import inference_page as report
from ctr.frameworks import OURS, PEERS
from ctr.race import check_names
from harness.arguments import kept_in, parsed, parser, size
from harness.contenders import OutOfTheRace
from harness.results import Results
from harness.surroundings import called, load, surroundings
from rokkit.progress import span

FULL: dict[str, Any] = {
    "models": list(report.MODELS),
    "batches": [1, 1024],
    "forms": ["eager", "pt2", "onnx"],
    "only": [OURS, *PEERS],
    "feature_rows": report.FEATURE_ROWS,
    "pool_rows": report.POOL_ROWS,
    "rounds": 5,
    "calls": 500,
}
QUICK: dict[str, Any] = FULL | {
    "models": ["deepfm", "din", "din+rok", "rim"],
    "batches": [1, 16],
    "forms": ["eager"],
    "only": [OURS],
    "feature_rows": 3000,
    "pool_rows": 2000,
    "rounds": 2,
    "calls": 10,
}
PACKAGES = ("rokkit", "torch", "numpy", "onnxruntime")


def main() -> int:
    """Run the races, keep each case, print the page; 1 if a goal is not met."""
    asked = arguments()
    results = Results("inference", kept_in(asked), report.page)
    measured = {}
    for model in [one for one in report.RACES if one in asked.models]:
        begun, start = time.perf_counter(), load()
        for batch, found in inference_cases.measured(asked, model).items():
            about = surroundings(called(), PACKAGES)
            about["versions"] |= found.pop("versions")
            name = report.case_name(model, batch)
            results.keep(name, found | {"about": about, "load": [start, load()]})
            measured[name] = results.cases[name]
        print(f"{model}: {span(time.perf_counter() - begun)}", file=sys.stderr)
    print(results.page())
    missed = [goal.text for goal in report.goals(measured) if goal.verdict == "not met"]
    return 1 if missed and not asked.quick else 0


def arguments() -> argparse.Namespace:
    """What is asked for; sizes are filled in, small ones for --quick."""
    made = parser(__doc__)
    made.add_argument(
        "--models",
        nargs="+",
        choices=report.MODELS,
        help="default: all; din+rok and rim answer beside din",
    )
    made.add_argument("--batches", type=int, nargs="+", help="rows of a call (default: 1 1024)")
    made.add_argument(
        "--forms", nargs="+", choices=report.FORMS, help="of ours (default: eager pt2 onnx)"
    )
    made.add_argument("--only", nargs="+", metavar="FRAMEWORK", help="default: ours and all peers")
    made.add_argument("--feature-rows", type=size, help="ids in all (default: 301,500)")
    made.add_argument("--pool-rows", type=size, help="that RIM searches (default: 1e6)")
    made.add_argument("--rounds", type=int, help="rounds of turns (default: 5)")
    made.add_argument("--calls", type=int, help="of one row in a turn (default: 500)")
    made.add_argument("--seed", type=int, default=0, help="of the made clicks")
    made.add_argument("--folder", type=Path, help="for what is made on the way")
    asked = parsed(made, FULL, QUICK)
    check_names(asked.only)
    if not {"din"} <= set(asked.models) and {report.KNOWLEDGE, report.RIM} & set(asked.models):
        asked.models = ["din", *asked.models]  # which they are compared with
    return asked


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except OutOfTheRace as reason:
        raise SystemExit(f"our own framework dropped out: {reason}") from None
