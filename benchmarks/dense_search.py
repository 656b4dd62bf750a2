"""Dense search, exact and approximate: what a query costs, what building costs, what is found.

    python benchmarks/dense_search.py --params params/journey-systems.yaml

The vectors are made of the id table of the study's encoder (seed 0, trained first if it is not
there), the queries are test samples, all on one thread. Seconds are processor time. Recall: the
share of the rows found that are as near as the last one of the exact answer. Cells are searched at
several numbers of probes; the graph (HNSW) is built on request only, for that takes long.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from harness.arguments import kept_in, parser
from harness.results import table as markdown
from harness.surroundings import called, described, load, surroundings
from rokkit import data
from rokkit.experiments import Runs, Settings, system_spec
from rokkit.experiments.weights import read_weights
from rokkit.files import write_json, write_text
from rokkit.retrieval import CellsConfig, DenseIndex, GraphConfig, VectorCells, VectorGraph
from rokkit.retrieval.dense_neighbours import recall
from rokkit.retrieval.tables import Neighbours

PROBES = (4, 8, 16, 32, 64)
PARAMS, QUICK_PARAMS = "params/journey-systems.yaml", "params/smoke.yaml"


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What `call` gives, and the processor seconds it took."""
    begun = time.process_time()
    found = call()
    return found, time.process_time() - begun


def main() -> None:
    """Measure, print, and write if asked to."""
    start = load()
    made = parser(__doc__)
    made.add_argument("--params", help=f"study whose encoder to take (default: {PARAMS})")
    made.add_argument("--queries", type=int, default=1024)
    made.add_argument("--graph", action="store_true", help="build and walk the graph too")
    args = made.parse_args()
    settings = Settings.from_yaml(args.params or (QUICK_PARAMS if args.quick else PARAMS))
    samples = data.load(settings.dataset, **settings.options_of_data())
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
    cells = []
    for name, building, seconds, share in rows:
        each, ratio = 1e6 * seconds / len(q), rows[0][2] / seconds
        cells.append((name, f"{building:.1f}", f"{each:,.0f}", f"{ratio:,.1f}x", f"{share:.4f}"))
    about = surroundings(called(), ("rokkit", "torch", "numpy", "faiss-cpu"))
    text = "\n".join(
        [
            markdown(("search", "build s", "µs a query", "against exact", "recall"), cells),
            "",
            f"{settings.study_name}: {index.n_rows:,} rows, {index.n_distinct:,} distinct in the "
            f"searched fields, vectors of {index.dim}; K = {settings.k}, {len(q):,} queries, one "
            "thread, processor time.",
            "",
            described(about, (start, load())),
        ]
    )
    print(text)
    folder = kept_in(args)
    if folder is not None:
        write_text(folder / "dense_search.md", text + "\n")
        write_json(folder / "dense_search.json", rows)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
