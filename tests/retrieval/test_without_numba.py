"""A process in which numba cannot be imported: all of rokkit works, and the answers are equal."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from rokkit.evaluation import compare
from rokkit.layers import FieldEmbedding
from rokkit.retrieval import BM25Index, kernel, loops

# Run with the folder that holds the input.
SCRIPT = """
import importlib, json, pkgutil, sys, warnings
from pathlib import Path

import numpy as np

sys.modules["numba"] = sys.modules["llvmlite"] = None
folder = Path(sys.argv[1])
x, q, y, p = (np.load(folder / f"{name}.npy") for name in ("x", "q", "y", "p"))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    import rokkit

    compiled = {
        "rokkit.compiled",
        "rokkit.retrieval.kernel",
        "rokkit.evaluation.bootstrap_kernel",
        "rokkit.prefetch",
        "rokkit.layers.attended_kernel",
        "rokkit.layers.dice_kernel",
        "rokkit.layers.embedding_kernel",
        "rokkit.layers.neighbour_kernel",
        "rokkit.layers.pairs_kernel",
        "rokkit.layers.products_kernel",
        "rokkit.layers.rectified_kernel",
        "rokkit.layers.recurrence_blocks",
        "rokkit.layers.recurrence_kernel",
        "rokkit.layers.recurrence_row_kernel",
        "rokkit.layers.self_attention_kernel",
        "rokkit.serving.chain_kernel",
        "rokkit.training.table_kernel",
        "rokkit.training.table_optim",
    }
    names = {module.name for module in pkgutil.walk_packages(rokkit.__path__, "rokkit.")}
    assert compiled < names
    for name in sorted(names - compiled):
        importlib.import_module(name)
    quiet = not [one for one in said if "numba" in str(one.message)]
    from rokkit.evaluation import compare
    from rokkit.retrieval import BM25Index, loops

    index = BM25Index.build(x[:400]).appended(x[400:])
    ids, scores = index.search(q, 6)
    index.save(folder / "saved")
    found = compare(p[:2], p[2:], y, n_boot=20)

    import torch
    from rokkit.errors import ConfigError
    from rokkit.layers import FieldEmbedding
    from rokkit.training import TrainConfig
    from rokkit.training.optim import DenseAdam, make_optimizer

    table = FieldEmbedding(200, 3)
    (table(torch.from_numpy(q)) * torch.arange(3.0)).sum().backward()
    lazy = make_optimizer(table, TrainConfig(optimizer="lazy-adam"))
    try:
        refused = ""
        make_optimizer(table, TrainConfig(optimizer="row-adagrad"))
    except ConfigError as error:
        refused = str(error)
np.save(folder / "gradient.npy", table.weight.grad.numpy())
np.save(folder / "ids.npy", ids)
np.save(folder / "scores.npy", scores)
kept = [str(one.message) for one in said if "numba" in str(one.message)]
told = {"quiet": quiet, "said": kept, "form": loops.chosen().__name__}
told |= {"lazy": isinstance(lazy, DenseAdam), "refused": refused}
told["bootstrap"] = [found.low, found.high, found.p_bootstrap]
(folder / "told.json").write_text(json.dumps(told))
"""


def test_everything_works_and_answers_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = (rng.integers(1, 30, (500, 4)) + np.array([0, 30, 60, 90])).astype(np.int32)
    q = (rng.integers(0, 31, (300, 4)) + np.array([0, 30, 60, 90])).astype(np.int32)
    y, p = rng.integers(0, 2, 200), rng.random((4, 200)).round(2).astype(np.float32)
    for name, array in (("x", x), ("q", q), ("y", y), ("p", p)):
        np.save(tmp_path / f"{name}.npy", array)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())

    assert told["form"] == "rokkit.retrieval.ragged"
    assert told["quiet"], "nothing is said before anything has to be slower"
    (message,) = told["said"]
    assert "pip install numba llvmlite" in message

    assert loops.chosen() is kernel
    ids, scores = BM25Index.build(x).search(q, 6)
    np.testing.assert_array_equal(np.load(tmp_path / "ids.npy"), ids)
    other = np.load(tmp_path / "scores.npy")
    np.testing.assert_array_equal(other.view(np.int32), scores.view(np.int32))
    # What it saved is this process's to open, and the other way round.
    np.testing.assert_array_equal(BM25Index.open(tmp_path / "saved").search(q, 6)[0], ids)

    found = compare(p[:2], p[2:], y, n_boot=20)
    assert told["bootstrap"] == [found.low, found.high, found.p_bootstrap]

    table = FieldEmbedding(200, 3)
    (table(torch.from_numpy(q)) * torch.arange(3.0)).sum().backward()
    assert (np.load(tmp_path / "gradient.npy") == table.weight.grad.numpy()).all()
    assert told["lazy"]
    assert "needs numba" in told["refused"]
