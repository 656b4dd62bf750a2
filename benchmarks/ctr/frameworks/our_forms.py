"""How our models answer: eager, exported, compiled; DIN with knowledge; RIM with its search."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ctr.frameworks import EMBEDDING, HIDDEN, Stage
from ctr.frameworks.ours import SETTINGS, Ours, make_model
from harness.answering import NotHere
from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase
from rokkit.knowledge.base import KnowledgeBaseConfig
from rokkit.knowledge.use import UseConfig, with_knowledge
from rokkit.models import create_model
from rokkit.retrieval import BM25Index
from rokkit.serving import exported, folded, of_model, write_onnx
from rokkit.training import Feed

NEIGHBOURS = 10  # K
KNOWLEDGE = "din+rok"


def stages(ours: Ours) -> list[Stage]:
    """Those of the case's model and form."""
    if ours.case.model == "rim":
        return _rim(ours)
    model = _model(ours)
    feed = Feed(ours.samples, "test", needs=model.needs)

    def look_up(rows: slice) -> Batch:
        return feed.batch(torch.arange(rows.start, rows.stop))

    return [("look-up", look_up), ("forward", _forward(ours, model))]


def _model(ours: Ours) -> Any:
    """In eval mode; DIN with a knowledge base in both manners for `KNOWLEDGE`."""
    schema = ours.samples.schema
    if ours.case.model == KNOWLEDGE:
        wide = (schema.n_fields + 1) * EMBEDDING  # what RIM teaches
        base = KnowledgeBase(schema, KnowledgeBaseConfig(), wide)
        use = UseConfig(manner="both")
        return with_knowledge(
            "din", schema, base, use, embed_dim=EMBEDDING, **SETTINGS["din"]
        ).eval()
    made = getattr(ours, "model", None)
    return (make_model(ours.case, schema) if made is None else made).eval()


def _forward(ours: Ours, model: Any) -> Callable[[Batch], Any]:
    """A batch's probabilities."""
    form = ours.case.form
    if form == "eager":
        ready = folded(model)
        return lambda batch: ready(batch).sigmoid()
    if form == "compiled":
        return torch.compile(lambda batch: model(batch).sigmoid(), dynamic=False)
    shape = (ours.arrays.longest, len(ours.samples.schema.item_columns))
    program = of_model(model, shape if "history" in model.needs else None)
    made, path = exported(program), ours.folder / "model"
    if form == "pt2":
        torch.export.save(made, path.with_suffix(".pt2"))
        loaded = torch.export.load(path.with_suffix(".pt2")).module()
        ours.bytes["artefact"] = _size(ours.folder)
        return lambda batch: loaded(*_ids(batch, program.inputs))
    try:
        write_onnx(path.with_suffix(".onnx"), made, program)
    except ConfigError as missing:
        raise NotHere(str(missing)) from None
    ours.bytes["artefact"] = _size(ours.folder)
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        str(path.with_suffix(".onnx")), options, providers=["CPUExecutionProvider"]
    )

    def by_runtime(batch: Batch) -> Any:
        ids = _ids(batch, program.inputs)
        return session.run(None, {n: i.numpy() for n, i in zip(program.inputs, ids, strict=True)})

    return by_runtime


def _ids(batch: Batch, inputs: Any) -> list[torch.Tensor]:
    return [getattr(batch, name) for name in inputs]


def _rim(ours: Ours) -> list[Stage]:
    """Search among the train rows, gather what was found, forward."""
    schema, pool, test = ours.samples.schema, ours.samples.train, ours.samples.test
    model = folded(create_model("rim", schema, embed_dim=EMBEDDING, hidden=HIDDEN))
    columns = schema.retrieval_columns
    index = BM25Index.build(pool.x, columns)
    index.save(ours.folder / "index")
    ours.bytes["index"] = _size(ours.folder / "index")
    ours.bytes["pool"] = pool.x.nbytes + pool.y.nbytes
    pool_x, pool_y = torch.from_numpy(pool.x), torch.from_numpy(pool.y).int()
    # A query has the columns that the index was built on, by their place in a row.
    queries, x = np.ascontiguousarray(test.x), torch.from_numpy(test.x)

    def search(rows: slice) -> tuple[slice, Any]:
        return rows, index.search(queries[rows], NEIGHBOURS, threads=1)[0]

    def look_up(found: tuple[slice, Any]) -> Batch:
        rows, ids = found[0], torch.from_numpy(found[1])
        mask, at = ids >= 0, ids.clamp(min=0).flatten()
        neighbours = pool_x.index_select(0, at).view(*ids.shape, -1) * mask[..., None]
        labels = pool_y.index_select(0, at).view(ids.shape) * mask
        return Batch(x=x[rows], neighbours=neighbours, neighbour_labels=labels, neighbour_mask=mask)

    return [
        ("search", search),
        ("look-up", look_up),
        ("forward", lambda batch: model(batch).sigmoid()),
    ]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
