"""Where the time of a training step goes, by model, and what its matrix products alone would take.

    python benchmarks/step_share.py [--quick] [--models din rim] [--batch 512] [--optimizer adam]

The real loop (`rokkit.training.fit`) trains each model on made data with one thread. Gathering the
batch, forward, backward and optimizer are timed inside each step; the rest is the loss, the order
of rows, progress and Python. The floor is the step's products of matrices, forward and backward, at
the rate that this machine multiplies two matrices of 512 x 512. The goal is that less than 15 % of
DIN's step is none of forward, backward and optimizer.
"""

import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.flop_counter import FlopCounterMode

from harness.arguments import kept_in, parser
from harness.goals import Goal, goals_table
from harness.results import Cases, Results, table
from harness.surroundings import called, load, surroundings
from rokkit.data.batch import Batch
from rokkit.data.samples import History, Part, Samples
from rokkit.data.schema import Field, Schema
from rokkit.models import CTRModel, create_model, list_models
from rokkit.retrieval import Neighbours
from rokkit.training import CTRTask, Feed, TrainConfig, fit, seed_everything

LIMIT = 15  # per cent
USERS, ITEMS, GENRES, CONTEXTS = 6_000, 4_000, 20, 100  # of the order of MovieLens-1M
POOL, NEIGHBOURS = 10_000, 10
SIDE = 512  # of the matrices whose product tells the machine's rate
PARTS = ("gather", "forward", "backward", "optimizer", "total")


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
    parts = [part(n) for n in (POOL, rows, 1024, 16)]
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


def feed_of(samples: Samples, part: str, model: CTRModel, history: int) -> Feed:
    """A part, with neighbours drawn at random where the model reads some."""
    shape = (len(samples.part(part)), NEIGHBOURS)
    ids = np.random.default_rng(1).integers(0, POOL, shape, dtype=np.int32)
    neighbours = Neighbours(ids, np.ones(shape, np.float32))
    held = neighbours if "neighbours" in model.needs else None
    return Feed(samples, part, needs=model.needs, neighbours=held, history_length=history)


def rate() -> float:
    """Multiplications and additions per second in a product of two matrices."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    taken = []
    for _ in range(100):
        begun = time.perf_counter()
        a @ b
        taken.append(time.perf_counter() - begun)
    return 2 * SIDE**3 / statistics.median(taken)


def _in_place(_: Any, a: Sequence[int], b: Sequence[int], out_shape: Any = None) -> int:
    """Of a sum with the product of matrices of the shapes `a` and `b`."""
    return 2 * a[0] * a[1] * b[1]


def products(model: CTRModel, batch: Batch) -> int:
    """Multiplications and additions in the products of matrices of a step."""
    unknown = {torch.ops.aten.addmm_: _in_place}  # to the counter
    with FlopCounterMode(display=False, custom_mapping=unknown) as counter:
        logits, penalty = model.penalised(batch)
        (logits.sum() + (0 if penalty is None else penalty)).backward()
    model.zero_grad()
    return int(counter.get_total_flops())


def measure(
    name: str, rows: int, history: int, batch_size: int, optimizer: str
) -> dict[str, float]:
    """Median milliseconds per step by part; the first 10 steps and the evaluations are left out."""
    torch.set_num_threads(1)
    samples, watch = made(rows, history), Stopwatch()
    seed_everything(0)
    model = create_model(name, samples.schema)
    model.backbone.read_pool(samples.pool.x)
    train, val = (feed_of(samples, part, model, history) for part in ("train", "val"))
    floor = 1e3 * products(model.train(), train.batch(torch.arange(batch_size))) / rate()
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
        config = TrainConfig(epochs=1, batch_size=batch_size, optimizer=optimizer)
        task = CTRTask(model, train, val)
        fit(task, len(train), config, seed=0, progress=lambda *_: watch.next_step())
    finally:
        torch.Tensor.backward = plain_backward
        for hook in hooks:
            hook.remove()
    kept = watch.steps[10:-1]  # the last step holds the evaluation
    found = {n: 1e3 * statistics.median(s[n] for s in kept) for n in PARTS} | {"floor": floor}
    outside = [1 - (s["forward"] + s["backward"] + s["optimizer"]) / s["total"] for s in kept]
    return found | {"share": statistics.median(outside), "steps": len(kept)}


def goal(case: str, found: Mapping[str, float]) -> Goal:
    """The share that is not forward, backward or optimizer."""
    share = 100 * found["share"]
    return Goal(text=case, bound=LIMIT, measured=share, unit=" %", at_least=False)


def page(cases: Cases) -> str:
    """Milliseconds by part, the floor, and the goal."""
    rows = []
    for name, found in cases.items():
        times = f"{found['total'] / found['floor']:.1f}" if found["floor"] else "–"
        rows.append((name, *(f"{found[part]:.2f}" for part in (*PARTS, "floor")), times))
    held = [goal(name, found) for name, found in cases.items() if name.startswith("din,")]
    about = (
        "Milliseconds of a step on one thread, medians. Floor: the step's products of matrices "
        f"alone, at the rate of a product of {SIDE} x {SIDE}. The goal is of what lies outside "
        "forward, backward and optimizer."
    )
    heads = ("Case", *PARTS, "floor", "total / floor")
    return "\n\n".join([about, table(heads, rows), goals_table(held), *_where(cases)])


def _where(cases: Cases) -> list[str]:
    """How, when and on what machine; one sentence for all cases of one command."""
    together: dict[tuple[str, ...], list[str]] = {}
    for name, one in cases.items():
        about = one["about"]
        same = (about["command"], about["machine"]["cpu"], about["versions"]["torch"])
        together.setdefault(same, []).append(name)
    said = []
    for (command, cpu, version), names in together.items():
        dates = sorted(cases[name]["about"]["date"] for name in names)
        loads = [one for name in names for one in cases[name]["load"]]
        whose = "" if len(together) == 1 else f"{', '.join(names)}: "
        said.append(
            f"{whose}`{command}`, {dates[0]} to {dates[-1]}, {cpu}, torch {version}, load "
            f"{min(loads)} to {max(loads)}."
        )
    return said


def main() -> int:
    """Measure, keep, print; 1 if the goal is not met."""
    made = parser(__doc__)
    made.add_argument("--models", nargs="+", choices=list_models(), help="default: all")
    made.add_argument("--rows", type=int, help="training rows (default: 80 steps)")
    made.add_argument("--history", type=int, default=50, help="behaviours per user")
    made.add_argument("--batch", type=int, default=512, help="rows per step")
    made.add_argument("--optimizer", default="lazy-adam", help="as in TrainConfig")
    asked = made.parse_args()
    rows = asked.rows or asked.batch * (20 if asked.quick else 80)
    results = Results("step_share", kept_in(asked), page)
    missed = False
    for name in asked.models or (["din", "rim"] if asked.quick else list_models()):
        start = load()
        found = measure(name, rows, asked.history, asked.batch, asked.optimizer)
        about = surroundings(called(), ("rokkit", "torch", "numpy"))
        case = f"{name}, batch {asked.batch}"
        results.keep(case, {**found, "about": about, "load": [start, load()]})
        missed |= name == "din" and goal(case, found).verdict == "not met"
    print(results.page(), end="")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
