"""From a raw log of any length to samples, index and neighbours: time, memory, bytes.

    python benchmarks/data_scale.py taobao:1000000 taobao:10000000 taobao:100150807
    python benchmarks/data_scale.py tmall:10000000 --folder /big/disk

Each stage runs in a process of its own, so its peak of memory is its own (and holds what Python and
its packages need, about .4 GB; times leave their import out): writing the twin's raw
files, building samples (all targets kept, unless --target-rate says less), building the index of
the whole pool, and answering queries from test on one thread, with the index mapped from disk.

Peak memory is the process's largest resident set, pages of mapped files included; "own" leaves
those out (the system takes them back when it needs them). It is looked at five times a second.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.arguments import kept_in, parser
from rokkit.files import write_json, write_text

K = 10
QUERIES = 100_000
LOG, QUICK_LOG = "taobao:1000000", "taobao:20000"
MB, GB = 1 << 20, 1 << 30


def stage(name: str, form: str, rows: int, folder: Path, rate: float) -> dict[str, Any]:
    """What one stage did; run in a process of its own."""
    from rokkit.data import load
    from rokkit.data.twin import TwinOptions, write_twin
    from rokkit.retrieval.neighbours import open_index

    raw = folder / "raw" / f"{form}-{rows}"
    if name == "twin":
        if not raw.exists():
            write_twin(TwinOptions(format=form, rows=rows), raw)
        return {"bytes": _bytes(raw)}
    begun = time.perf_counter()
    samples = load(form, path=str(raw), target_rate=rate)
    seconds = time.perf_counter() - begun
    if name == "samples":
        counts = {part: len(samples.part(part)) for part in ("pool", "train", "val", "test")}
        return {"bytes": _bytes(samples.folder), "counts": counts, "seconds": seconds}
    index = open_index(samples)
    if name == "index":
        return {"bytes": _bytes(samples.folder / "index"), "seconds": index.build_seconds}
    rng = np.random.default_rng(0)
    wanted = min(QUERIES, len(samples.test))
    q = samples.test.x[np.sort(rng.choice(len(samples.test), wanted, replace=False))]
    index.search(q[: len(q) // 10], K, threads=1)  # compiled code, and pages read from disk
    begun = time.perf_counter()
    index.search(q, K, threads=1)
    return {"queries_per_s": len(q) / (time.perf_counter() - begun), "queries": len(q)}


def measured(arguments: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """What a stage printed, with its wall time and peaks of memory in bytes."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [sys.executable, __file__, *arguments], stdout=out, env=environment
        )
        own = 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            own = max(own, _own_memory(process.pid))
            time.sleep(0.2)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"stage {' '.join(arguments)} failed")
        out.seek(0)
        found: dict[str, Any] = json.loads(out.read())
    found["wall"] = time.perf_counter() - begun
    found["peak"] = usage.ru_maxrss * 1024
    found["own"] = own
    return found


def report(found: dict[str, dict[str, dict[str, Any]]], rate: float) -> str:
    """The table, in Markdown."""
    lines = [
        f"Targets kept at a rate of {rate:g}; K = {K}; queries on one thread. "
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}.",
        "",
        "| log | raw | samples: time | peak (own) | on disk | pool | s per M rows | index: time | "
        "peak (own) | on disk | queries/s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, stages in found.items():
        s, i = stages["samples"], stages["index"]
        rows = int(name.partition(":")[2])
        lines.append(
            f"| {name.partition(':')[0]}, {rows:,} rows | {stages['twin']['bytes'] / GB:.2f} GB "
            f"| {s['seconds']:.0f} s | {s['peak'] / GB:.2f} ({s['own'] / GB:.2f}) GB "
            f"| {s['bytes'] / GB:.2f} GB | {s['counts']['pool']:,} "
            f"| {s['seconds'] / (rows / 1e6):.2f} "
            f"| {i['seconds']:.0f} s | {i['peak'] / GB:.2f} ({i['own'] / GB:.2f}) GB "
            f"| {i['bytes'] / GB:.2f} GB | {stages['queries']['queries_per_s']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def _own_memory(pid: int) -> int:
    """Resident bytes that belong to no file; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(values.get("RssAnon", "0 kB").split()[0]) * 1024


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Run the stages of every log in turn, and write what was measured after each."""
    made = parser(__doc__)
    made.add_argument("logs", nargs="*", help=f"format:rows (default: {LOG})")
    made.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "rokkit-scale")
    made.add_argument("--target-rate", type=float, default=1.0)
    made.add_argument("--stage", nargs=3, metavar=("NAME", "FORMAT", "ROWS"), help="internal")
    args = made.parse_args()
    if args.stage:
        name, form, rows = args.stage
        print(json.dumps(stage(name, form, int(rows), args.folder, args.target_rate)))
        return
    environment = {**os.environ, "ROKKIT_DATA": str(args.folder)}
    folder = kept_in(args)
    kept = None if folder is None else folder / "data_scale.json"
    found = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    for log in args.logs or [QUICK_LOG if args.quick else LOG]:
        form, _, rows = log.partition(":")
        found[log] = {}
        for name in ("twin", "samples", "index", "queries"):
            arguments = ["--stage", name, form, rows, "--folder", str(args.folder)]
            arguments += ["--target-rate", str(args.target_rate)]
            found[log][name] = measured(arguments, environment)
            print(log, name, json.dumps(found[log][name]), flush=True)
        if kept is not None:
            write_json(kept, found)
            write_text(kept.with_suffix(".md"), report(found, args.target_rate))
    print(report(found, args.target_rate))


if __name__ == "__main__":
    main()
