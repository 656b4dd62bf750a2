"""Kill a batch of notebooks at random moments, start it again each time, and compare the outcome.

    python tools/kill_batch.py [--times 10] [--seed 0] [--params params/smoke.yaml] [NOTEBOOK ...]

The batch runs once undisturbed and once killed (SIGKILL, with every process it started), each in an
empty folder of its own. Exit code 1 unless every prediction, weight, history and table is the
same, bit for bit. Tables of seconds are left out: no two runs take the same time.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
OF_SECONDS = ("costs", "training_time", "inference")
KEPT = ("predictions.npy", "predictions_val.npy", "best.safetensors", "history.csv", "spec.json")


def command(options: argparse.Namespace) -> list[str]:
    """The batch."""
    names = options.notebooks or ["10_overall", "14_update_strategy"]
    return [sys.executable, "-m", "rokkit.cli", "run", *names, "--params", options.params]


def start(options: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    """The batch, in its own folder."""
    places = ("RUNS", "RESULTS", "FIGURES", "EXECUTED", "DATA")
    own = {f"ROKKIT_{place}": str(folder / place.lower()) for place in places}
    # Threads may change the order of sums.
    env = os.environ | own | {"OMP_NUM_THREADS": "1"}
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command(options), cwd=ROOT, env=env, stdout=log, stderr=log)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything it started, without a chance to tidy up."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        one.suspend()  # so that none starts another meanwhile
    for one in family:
        one.kill()
    psutil.wait_procs(family)
    process.wait()


def finish(options: argparse.Namespace, folder: Path) -> float:
    """Let the batch come to its end; seconds."""
    begun = time.monotonic()
    code = start(options, folder).wait()
    if code:
        raise SystemExit(
            f"the batch ended with code {code}:\n{(folder / 'log').read_text()[-2000:]}"
        )
    return time.monotonic() - begun


def outcome(folder: Path) -> dict[str, bytes]:
    """What has to be the same, by file."""
    runs = [p for p in (folder / "runs").rglob("*") if p.name in KEPT]
    tables = [p for p in (folder / "results").rglob("*.*") if p.stem not in OF_SECONDS]
    return {str(p.relative_to(folder)): p.read_bytes() for p in (*runs, *tables) if p.is_file()}


def main() -> int:
    """Run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", metavar="NOTEBOOK")
    parser.add_argument("--times", type=int, default=10, help="how often it is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--params", default="params/smoke.yaml")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        quiet, disturbed = Path(place) / "quiet", Path(place) / "disturbed"
        seconds = finish(options, quiet)
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        killed = 0
        for _ in range(options.times):
            process = start(options, disturbed)
            wait = moments.uniform(0.05, 0.5) * seconds  # starting takes a part of it
            try:
                process.wait(wait)
                ended = "it was done already"
            except subprocess.TimeoutExpired:
                kill(process)
                killed, ended = killed + 1, "killed"
            print(f"after {wait:.1f} s: {ended}", flush=True)
        print(f"killed {killed} times; to the end: {finish(options, disturbed):.0f} s", flush=True)
        wanted, found = outcome(quiet), outcome(disturbed)
        wrong = [n for n in {*wanted, *found} if wanted.get(n) != found.get(n)]
        print(f"{len(wanted)} files compared, {len(wrong)} differ: {', '.join(sorted(wrong))}")
        return 1 if wrong or not wanted else 0


if __name__ == "__main__":
    raise SystemExit(main())
