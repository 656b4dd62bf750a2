"""Dense search, exact and approximate: what a query costs, what building costs, what is found.

    python benchmarks/dense_search.py --params params/journey-systems.yaml

The vectors are made of the id table of the study's encoder (seed 0, trained first if it is not
there), the queries are test samples, all on one thread. Seconds are processor time. Recall: the
share of the rows found that are as near as the last one of the exact answer. Cells are searched at
several numbers of probes; the graph (HNSW) is built on request only, for that takes long.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rokkit.data import load
from rokkit.experiments import Runs, Settings, system_spec
from rokkit.experiments.weights import read_weights
from rokkit.retrieval import CellsConfig, DenseIndex, GraphConfig, VectorCells, VectorGraph
from rokkit.retrieval.dense_neighbours import recall
from rokkit.retrieval.tables import Neighbours

PROBES = (4, 8, 16, 32, 64)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What `call` gives, and the processor seconds it took."""
    begun = time.process_time()
    found = call()
    return found, time.process_time() - begun


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--params", required=True, help="of a study whose encoder to take")
    parser.add_argument("--queries", type=int, default=1024)
    parser.add_argument("--graph", action="store_true", help="build and walk the graph too")
    parser.add_argument("--results", type=Path, help="folder for dense_search.md and .json")
    args = parser.parse_args()
    settings = Settings.from_yaml(args.params)
    samples = load(settings.dataset, **settings.options_of_data())
    (encoder,) = Runs(device="cpu")([system_spec(settings.encoder, settings, 0)])
    table = read_weights(encoder.folder)["embedding.weight"].numpy()
    index, built = timed(
        lambda: DenseIndex.build(samples.pool.x, table, samples.schema.retrieval_columns)
    )
    rng, held = np.random.default_rng(0), len(samples.test)
    q = samples.test.x[np.sort(rng.choice(held, min(args.queries, held), replace=False))]
    answer, seconds = timed(lambda: index.search(q, settings.k))
    exact = Neighbours(*answer)
    rows = [("exact", built, seconds, 1.0)]
    ways: list[tuple[str, Any, Any]] = [
        (f"cells, {n} of {CellsConfig().cells}", VectorCells, CellsConfig(probes=n)) for n in PROBES
    ]
    if args.graph:
        ways.append(("graph", VectorGraph, GraphConfig()))
    for name, kind, config in ways:
        way, building = timed(lambda kind=kind, config=config: kind(index, config))
        found, seconds = timed(lambda way=way: index.search_among(q, settings.k, way))
        rows.append((name, built + building, seconds, recall(Neighbours(*found), exact)))
    lines = [
        "| search | build s | µs a query | against exact | recall |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, building, seconds, share in rows:
        ratio = rows[0][2] / seconds
        each = 1e6 * seconds / len(q)
        lines.append(f"| {name} | {building:.1f} | {each:,.0f} | {ratio:,.1f}x | {share:.4f} |")
    text = "\n".join(
        [
            *lines,
            "",
            f"{settings.study_name}: {index.n_rows:,} rows, {index.n_distinct:,} distinct in the "
            f"searched fields, vectors of {index.dim}; K = {settings.k}, {len(q):,} queries, one "
            "thread, processor time.",
        ]
    )
    print(text)
    if args.results is not None:
        (args.results / "dense_search.md").write_text(text + "\n")
        (args.results / "dense_search.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
