"""What a person sees while `rokkit run` is at work."""

from collections.abc import Sequence
from types import TracebackType

from rokkit.experiments.status import Standing, standings
from rokkit.progress import Mode, Progress, span, suited_mode
from rokkit.runner import Going, State, Task

STEPS = 100  # of the bar, per notebook


class Screen:
    """In a terminal a bar over all notebooks, with a note on cells and runs.

    In a log, a line per notebook that starts or ends and per 10 % of its runs. A context.
    """

    def __init__(self, batch: Sequence[Task], mode: Mode | None = None) -> None:
        self.total = len(batch)
        self.mode = mode or suited_mode()
        quiet: Mode = "silent"
        self.bar = Progress(
            STEPS * self.total, "notebooks", mode=self.mode if self.mode == "bar" else quiet
        )
        self.lines = Progress(0, "", mode=quiet if self.mode == "bar" else self.mode)
        self.runs: dict[tuple[int, int], Progress] = {}
        self.begun: set[str] = set()
        self.told = 0

    def __enter__(self) -> "Screen":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()

    def show(self, state: State) -> None:
        """What `runner.execute` calls, about twice a second."""
        for one in state.going:
            if one.task.name not in self.begun:
                self.begun.add(one.task.name)
                self._tell(f"{one.task.name}  started")
        for place, outcome in enumerate(state.outcomes[self.told :], start=self.told + 1):
            left = self.total - place
            verdict = "failed" if outcome.failure else "done"
            after = f"{left} notebook{'' if left == 1 else 's'} left"
            self._tell(f"{outcome.task.name}  {verdict} in {span(outcome.seconds)} · {after}")
        self.told = len(state.outcomes)
        work = standings()
        notes = [where(one) for one in state.going] + [runs_note(one) for one in work]
        done = STEPS * len(state.outcomes) + sum(percent(one) for one in state.going)
        self.bar.update(done, " · ".join(notes))
        self._show_runs(work)

    def _show_runs(self, work: Sequence[Standing]) -> None:
        if self.mode == "bar":
            return
        calls = {(one.pid, one.total): one for one in work}
        self.runs = {
            call: self.runs.get(call) or Progress(one.total, "  runs", mode=self.mode)
            for call, one in calls.items()
        }
        for call, one in calls.items():
            self.runs[call].update(one.done, doing(one))

    def _tell(self, text: str) -> None:
        (self.bar if self.mode == "bar" else self.lines).tell(text)


def percent(one: Going) -> int:
    """How much of a notebook is done, by its cells."""
    return STEPS * max(one.cell - 1, 0) // one.cells if one.cells else 0


def where(one: Going) -> str:
    """`10_overall cell 6/14`."""
    return f"{one.task.name} cell {one.cell}/{one.cells}" if one.cells else one.task.name


def runs_note(work: Standing) -> str:
    """`runs 12/48 · din+rok-s1 epoch 3/20 · 4:10 left`."""
    parts = [f"runs {work.done}/{work.total}", doing(work)]
    if work.left is not None:
        parts.append(f"{span(work.left)} left")
    return " · ".join(part for part in parts if part)


def doing(work: Standing) -> str:
    """What the runs that are going are at: `din+rok-s1 epoch 3/20`."""
    texts = []
    for folder, fields in sorted(work.running.items()):
        label = folder.rpartition("-")[0]  # without the key
        epoch = f" epoch {fields['epoch']}/{fields['epochs']}" if "epochs" in fields else ""
        texts.append(label + epoch)
    return ", ".join(texts)
