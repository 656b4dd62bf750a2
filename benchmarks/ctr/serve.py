"""A framework in a process of its own: `python -m ctr.serve NAME`, asked line by line."""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.answering import serve, timed

# Nothing heavy up here: what importing a framework takes is measured.
STATUS = Path("/proc/self/status")
FEWEST_STEPS = 3  # of an epoch: its first step is left out
LEAST_PART = 1e-12  # seconds


class Served:
    """The tasks of a framework."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: Any = None
        self.steps: list[tuple[float, float]] = []  # processor and wall second at each step's end

    def tasks(self) -> Mapping[str, Callable[..., Mapping[str, Any]]]:
        """By the names under which they are asked for."""
        return {
            "load": self.load,
            "build": self.build,
            "epoch": self.epoch,
            "predict": self.predict,
            "latency": self.latency,
        }

    def load(self) -> Mapping[str, Any]:
        """Import what a user imports: seconds."""
        return timed(self._load)

    def _load(self) -> None:
        from ctr.frameworks import framework

        self.held = framework(self.name)
        self.held.load()

    def build(self, arrays: str, folder: str, case: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make the model; how many parameters it has, and the versions of what made it."""
        from importlib.metadata import version

        from ctr.arrays import Arrays
        from ctr.frameworks import Case

        if self.held is None:
            self._load()
            self._watch_steps()
        self.case = Case(**case)
        self.held.build(Arrays.open(arrays), self.case, Path(folder))
        self.stages: list[Any] = []
        model = getattr(self.held, "model", None)
        held = None if model is None else sum(p.numel() for p in model.parameters())
        names = (self.held.package, "torch", "numpy")
        return {"parameters": held, "versions": {name: version(name) for name in names}}

    def _watch_steps(self) -> None:
        """Note when each step of any of torch's optimizers ends, whoever calls it."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        def note(*_: Any) -> None:
            self.steps.append((time.process_time(), time.perf_counter()))

        register_optimizer_step_post_hook(note)

    def epoch(self) -> Mapping[str, Any]:
        """Train for an epoch: seconds from the end of its first step to that of its last.

        What comes before the first step and after the last (loaders that start, evaluations,
        checkpoints) is left out.
        """
        self.steps.clear()
        self.held.epoch()
        if len(self.steps) < FEWEST_STEPS:
            raise RuntimeError(f"{len(self.steps)} steps; at least {FEWEST_STEPS} are needed.")
        (cpu, wall), (last_cpu, last_wall) = self.steps[0], self.steps[-1]
        units = (len(self.steps) - 1) * self.case.batch
        took = {"cpu": last_cpu - cpu, "wall": last_wall - wall}
        return {k: max(v, LEAST_PART) for k, v in took.items()} | {"units": units, "peak": peak()}

    def predict(self, part: str, out: str) -> Mapping[str, Any]:
        """Write the probabilities of a part to the file `out`."""
        import numpy as np

        with Path(out).open("wb") as file:
            np.save(file, np.asarray(self.held.predict(part), np.float32).reshape(-1))
        return {}

    def latency(self, calls: int, warm_up: int, batch: int) -> Mapping[str, Any]:
        """Wall milliseconds of an answer to `batch` rows: p50 and p99 of all, p50 by stage.

        With it, bytes of what the model needs to answer, where the framework says.
        """
        import numpy as np
        import torch

        stages = self.stages = self.stages or self.held.stages()
        rows = max(batch, getattr(self.held, "fewest", 1))
        available = self.held.test_rows
        taken = np.empty((calls, len(stages)))
        with torch.inference_mode():
            for call in range(-warm_up, calls):
                first = (max(call, 0) * rows) % max(1, available - rows + 1)
                value: Any = slice(first, first + rows)
                for place, (_, work) in enumerate(stages):
                    begun = time.perf_counter_ns()
                    value = work(value)
                    if call >= 0:
                        taken[call, place] = (time.perf_counter_ns() - begun) / 1e6
        p50, p99 = np.percentile(taken.sum(1), [50, 99])
        parts = np.percentile(taken, 50, axis=0)
        names = [name for name, _ in stages]
        return {
            "p50": p50,
            "p99": p99,
            "stages": dict(zip(names, parts.tolist(), strict=True)),
            "rows": rows,
            "calls": calls,
            "bytes": getattr(self.held, "bytes", {}),
            "peak": peak(),
        }


def peak() -> int:
    """The most bytes of memory that this process ever held."""
    if STATUS.is_file():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    # Elsewhere; of a child this may be its parent's.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    serve(Served(sys.argv[1]).tasks())
