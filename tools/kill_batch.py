"""Kill a batch of notebooks at random moments, start it again each time, and compare the outcome.

    python tools/kill_batch.py [--times 10] [--seed 0] [--params FILE] [--all | NOTEBOOK ...]

The batch runs once undisturbed and once killed (SIGKILL, with every process it started), each in an
empty folder of its own. Exit code 1 unless every prediction, weight, history and table is the
same, bit for bit. Tables of seconds are left out, as are the rows of claims and findings that rest
on them: no two runs take the same time. By default a few notebooks that train go, a batch of about
a minute; with --all, all of them. What came of it is kept in benchmarks/results/kill_batch.md.
"""

import argparse
import contextlib
import csv
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from harness.arguments import kept_in, parsed, parser  # noqa: E402
from harness.results import table  # noqa: E402
from harness.surroundings import described, load, surroundings  # noqa: E402
from rokkit.experiments import CLAIMS, efficiency  # noqa: E402
from rokkit.files import write_text  # noqa: E402

NOTEBOOKS = ("02_teacher", "10_overall", "14_update_strategy")
QUICK = ("02_teacher",)
OF_SECONDS = (
    "costs",
    "own_costs",
    "training_time",
    "inference",
    "batch_notebooks",
    "batch_stages",
    "batch_cached",
)
# Some of their rows are of seconds, and the width of columns and the caption change with these: of
# their four formats, the other rows of one are compared.
WITH_SECONDS = ("claims", "findings")
OF_STEPS = ("convergence",)  # the claims on efficiency that rest on no clock
KEPT = ("predictions.npy", "predictions_val.npy", "best.safetensors", "history.csv", "spec.json")
FINISHED = re.compile(r"^(\S+)  done in ", re.MULTILINE)  # a notebook, as `rokkit run` says it
PACKAGES = ("rokkit", "torch", "numpy", "papermill")


@dataclass(frozen=True)
class Start:
    """One time that the batch was started and left alone for some seconds."""

    wait: float
    killed: bool  # else it was done by then
    finished: Sequence[str]  # notebooks


def command(options: argparse.Namespace) -> list[str]:
    """The batch."""
    words = [sys.executable, "-m", "rokkit.cli", "run", *options.notebooks]
    return [*words, "--params", options.params]


def start(options: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    """The batch, in its own folder."""
    places = ("RUNS", "RESULTS", "FIGURES", "EXECUTED", "DATA")
    own = {f"ROKKIT_{place}": str(folder / place.lower()) for place in places}
    # Threads may change the order of sums.
    env = os.environ | own | {"OMP_NUM_THREADS": "1"}
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command(options), cwd=ROOT, env=env, stdout=log, stderr=log)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything it started, without a chance to tidy up."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for act in ("suspend", "kill"):  # suspended first, so that none starts another meanwhile
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # a worker that was just leaving
                getattr(one, act)()
    psutil.wait_procs(family)
    process.wait()


def said(folder: Path) -> str:
    """What the batch that was started last has said."""
    return (folder / "log").read_text(encoding="utf-8", errors="replace")


def require_success(code: int, folder: Path) -> None:
    """Leave if the batch failed by itself."""
    if code:
        raise SystemExit(f"the batch ended with code {code}:\n{said(folder)[-2000:]}")


def finish(options: argparse.Namespace, folder: Path) -> float:
    """Let the batch come to its end; seconds."""
    begun = time.monotonic()
    require_success(start(options, folder).wait(), folder)
    return time.monotonic() - begun


def disturb(options: argparse.Namespace, folder: Path, wait: float) -> Start:
    """Start the batch and kill it after `wait` seconds."""
    process = start(options, folder)
    killed = False
    try:
        require_success(process.wait(wait), folder)
    except subprocess.TimeoutExpired:
        kill(process)
        killed = True
    found = Start(wait, killed, FINISHED.findall(said(folder)))
    print(told(found), flush=True)
    return found


def told(one: Start) -> str:
    """One start in a line."""
    end = "killed" if one.killed else "it was done already"
    return f"after {one.wait:.1f} s: {end}; done by then: {', '.join(one.finished) or 'none'}"


def outcome(folder: Path) -> dict[str, bytes]:
    """What has to be the same, by file."""
    runs = [p for p in (folder / "runs").rglob("*") if p.name in KEPT]
    results = [p for p in (folder / "results").rglob("*.*") if p.stem not in OF_SECONDS]
    tables = [p for p in results if p.stem not in WITH_SECONDS]
    found = {p: p.read_bytes() for p in (*runs, *tables) if p.is_file()}
    found |= {p: without_seconds(p) for p in results if p not in tables and p.suffix == ".csv"}
    return {str(p.relative_to(folder)): held for p, held in found.items()}


def without_seconds(path: Path) -> bytes:
    """The rows of a table of claims that do not rest on times."""
    timed = {
        claim.says
        for claim in CLAIMS
        if getattr(claim.test, "__module__", "") == efficiency.__name__
        and claim.name not in OF_STEPS
    }
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream) if row[0] not in timed]
    return repr(rows).encode()


def page(starts: Sequence[Start], notebooks: Sequence[str], ends: str, where: str) -> str:
    """What came of it, in Markdown."""
    rows = [
        [
            f"{number}",
            ", ".join(one.finished) or "none",
            f"{one.wait:.1f}" if one.killed else f"done before {one.wait:.1f}",
        ]
        for number, one in enumerate(starts, 1)
    ]
    heads = ["Start", "Notebooks done by then", "Killed after s"]
    of = ", ".join(notebooks) or "all notebooks"
    parts = [
        "# A batch that is killed and started again",
        f"Notebooks: {of}. The batch was killed with every process it had started, and started "
        "again; it then has to come to what it comes to undisturbed.",
        table(heads, rows),
        ends,
        where,
    ]
    return "\n\n".join(parts) + "\n"


def arguments() -> argparse.Namespace:
    """What is asked for."""
    made = parser(__doc__ or "")
    made.add_argument("notebooks", nargs="*", metavar="NOTEBOOK")
    made.add_argument("--all", action="store_true", help="every notebook")
    made.add_argument("--times", type=int, help="how often it is killed (default: 10)")
    made.add_argument("--seed", type=int, default=0, help="of the moments")
    made.add_argument("--params", default="params/smoke.yaml")
    asked = parsed(made, full={"times": 10}, quick={"times": 1})
    if asked.all and asked.notebooks:
        made.error("--all or names, not both")
    if not asked.all and not asked.notebooks:
        asked.notebooks = list(QUICK if asked.quick else NOTEBOOKS)
    return asked


def main() -> int:
    """Run, kill, compare, tell."""
    options = arguments()
    moments = random.Random(options.seed)
    facts = surroundings(["python", "tools/kill_batch.py", *sys.argv[1:]], PACKAGES)
    before = load()
    with tempfile.TemporaryDirectory() as place:
        quiet, disturbed = Path(place) / "quiet", Path(place) / "disturbed"
        seconds = finish(options, quiet)
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        # Starting takes a part of it.
        waits = [moments.uniform(0.05, 0.5) * seconds for _ in range(options.times)]
        starts = [disturb(options, disturbed, wait) for wait in waits]
        last = finish(options, disturbed)
        wanted, found = outcome(quiet), outcome(disturbed)
    wrong = sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))
    ends = (
        f"Undisturbed: {seconds:.0f} s. Killed {sum(one.killed for one in starts)} times, then to "
        f"the end: {last:.0f} s. Files compared: {len(wanted)}. Files that differ: "
        f"{', '.join(wrong) or 'none'}."
    )
    print(ends)
    folder = kept_in(options)
    if folder is not None:
        where = described(facts, (before, load()))
        write_text(folder / "kill_batch.md", page(starts, options.notebooks, ends, where))
    return 1 if wrong or not wanted else 0


if __name__ == "__main__":
    raise SystemExit(main())
