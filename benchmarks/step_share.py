"""What a training step of DIN costs besides forward, backward and the optimizer.

    python benchmarks/step_share.py [--quick] [--rows 40960] [--history 50] [--batch 512]

The real loop (`rokkit.training.fit`) trains DIN on made data with one thread. Forward, backward and
optimizer are timed inside each step; the rest is gathering the batch, the loss, the order of rows,
progress and Python. The goal is a share below 15 % at batch 512.
"""

import os
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from harness.arguments import kept_in, parser
from harness.goals import Goal, goals_table
from harness.results import Cases, Results, table
from harness.surroundings import called, load, surroundings
from rokkit.data.batch import Batch
from rokkit.data.samples import History, Part, Samples
from rokkit.data.schema import Field, Schema
from rokkit.models import create_model
from rokkit.training import CTRTask, Feed, TrainConfig, fit, seed_everything

LIMIT = 15  # per cent
USERS, ITEMS, GENRES, CONTEXTS = 6_000, 4_000, 20, 100  # of the order of MovieLens-1M


def made(rows: int, history: int) -> Samples:
    """Uniform ids, and a full history for every user."""
    generator = np.random.default_rng(0)
    sizes = {"user": USERS, "item": ITEMS, "genre": GENRES, "context": CONTEXTS}
    roles = {"user": "user", "item": "item", "genre": "item", "context": "context"}
    fields, offset = [], 1
    for name, size in sizes.items():
        fields.append(Field(name=name, role=roles[name], offset=offset, size=size))
        offset += size
    schema = Schema(name="made", fields=tuple(fields), retrieval=("user", "item"))

    def ids(n: int, names: list[str]) -> np.ndarray:
        columns = [
            generator.integers(fields[i].offset, fields[i].stop, n)
            for i in map(schema.column, names)
        ]
        return np.stack(columns, 1).astype(np.int32)

    def part(n: int) -> Part:
        return Part(ids(n, list(sizes)), generator.integers(0, 2, n).astype(np.int8), np.arange(n))

    behaviours = ids(USERS * history, ["item", "genre"])
    offsets = np.arange(USERS + 1, dtype=np.int64) * history
    parts = [part(n) for n in (16, rows, 1024, 16)]
    return Samples(schema, *parts, History(offsets, behaviours), {}, "made", Path())


class Stopwatch:
    """Seconds of the current step by name, and of all steps together."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.step: dict[str, float] = {}
        self.begun: dict[str, float] = {}
        self.last = time.perf_counter()

    def start(self, name: str) -> None:
        self.begun[name] = time.perf_counter()

    def stop(self, name: str) -> None:
        self.step[name] = self.step.get(name, 0.0) + time.perf_counter() - self.begun[name]

    def next_step(self) -> None:
        now = time.perf_counter()
        self.step["total"] = now - self.last
        self.steps.append(self.step)
        self.step, self.last = {}, time.perf_counter()


def measure(rows: int, history: int, batch: int) -> dict[str, float]:
    """Median milliseconds per step by part; the first 10 steps and the evaluations are left out."""
    torch.set_num_threads(1)
    samples, watch = made(rows, history), Stopwatch()
    seed_everything(0)
    model = create_model("din", samples.schema)
    train, val = (
        Feed(samples, p, needs=model.needs, history_length=history) for p in ("train", "val")
    )
    plain_backward, plain_batch = torch.Tensor.backward, train.batch
    plain_forward = model.penalised  # which is what training calls

    def backward(tensor: torch.Tensor, *args: object, **how: object) -> None:
        watch.start("backward")
        plain_backward(tensor, *args, **how)
        watch.stop("backward")

    def forward(batch: Batch) -> object:
        watch.start("forward")
        found = plain_forward(batch)
        watch.stop("forward")
        return found

    def gather(indices: torch.Tensor) -> object:
        watch.start("gather")
        found = plain_batch(indices)
        watch.stop("gather")
        return found

    hooks = [
        register_optimizer_step_pre_hook(lambda *_: watch.start("optimizer")),
        register_optimizer_step_post_hook(lambda *_: watch.stop("optimizer")),
    ]
    torch.Tensor.backward, train.batch, model.penalised = backward, gather, forward
    try:
        config = TrainConfig(epochs=1, batch_size=batch)
        task = CTRTask(model, train, val)
        fit(task, len(train), config, seed=0, progress=lambda *_: watch.next_step())
    finally:
        torch.Tensor.backward = plain_backward
        for hook in hooks:
            hook.remove()
    kept = watch.steps[10:-1]  # the last step holds the evaluation
    names = ("gather", "forward", "backward", "optimizer", "total")
    found = {n: 1e3 * statistics.median(s[n] for s in kept) for n in names}
    outside = [1 - (s["forward"] + s["backward"] + s["optimizer"]) / s["total"] for s in kept]
    return found | {"share": statistics.median(outside), "steps": len(kept)}


def goal(case: str, found: Mapping[str, float]) -> Goal:
    """The share that is not forward, backward or optimizer."""
    share = 100 * found["share"]
    return Goal(text=case, bound=LIMIT, measured=share, unit=" %", at_least=False)


def page(cases: Cases) -> str:
    """Milliseconds by part, and the goal."""
    parts = ("gather", "forward", "backward", "optimizer", "total")
    rows = [(name, *(f"{found[p]:.2f}" for p in parts)) for name, found in cases.items()]
    held = [goal(name, found) for name, found in cases.items()]
    said = [f"{name}: load {c['load'][0]} to {c['load'][1]}." for name, c in cases.items()]
    about = "Milliseconds of a step (median). The goal is of what lies outside the named parts."
    return "\n\n".join([about, table(("Case", *parts), rows), goals_table(held), *said])


def main() -> int:
    """Measure, keep, print; 1 if the goal is not met."""
    made = parser(__doc__)
    made.add_argument("--rows", type=int, help="training rows (default: 40960)")
    made.add_argument("--history", type=int, default=50, help="behaviours per user")
    made.add_argument("--batch", type=int, default=512, help="rows per step")
    asked = made.parse_args()
    rows = asked.rows or asked.batch * (20 if asked.quick else 80)
    case, start = f"DIN, batch {asked.batch}, history {asked.history}, one thread", load()
    found = measure(rows, asked.history, asked.batch)
    about = surroundings(called(), ("rokkit", "torch", "numpy"))
    results = Results("step_share", kept_in(asked), page)
    results.keep(case, {**found, "about": about, "load": [start, load()]})
    print(results.page(), end="")
    return int(goal(case, found).verdict == "not met")


if __name__ == "__main__":
    sys.exit(main())
