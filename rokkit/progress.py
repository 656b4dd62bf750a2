"""How far along something is, told in the way that suits who is watching.

A widget in JupyterLab, a bar in a terminal, a line per 10 % everywhere else (a log, papermill,
nbval), or nothing. `ROKKIT_PROGRESS` set to widget, bar, lines or silent overrides the choice.
"""

import importlib.util
import logging
import os
import sys
import time
from types import TracebackType
from typing import Any, Literal, Protocol, TextIO, get_args

Mode = Literal["widget", "bar", "lines", "silent"]
VARIABLE = "ROKKIT_PROGRESS"
TENTHS = 10  # lines written from 0 to 100 %

logger = logging.getLogger(__name__)


class Progress:
    """Counts towards `total`, with a note on what is going on. Use it as a context.

    Showing progress never breaks what is being done: if the display fails, it goes silent.
    """

    def __init__(
        self, total: int, title: str, *, mode: Mode | None = None, stream: TextIO | None = None
    ) -> None:
        """`mode` None: as `suited_mode` finds; `stream` None: stdout at the time of writing."""
        self.total = max(total, 0)
        self.title = title
        self.done = 0
        self._display: _Display = _Silent()
        try:
            self._display = _display(mode or suited_mode(stream), self.total, title, stream)
        except Exception as error:  # a broken widget must not stop a run
            self._give_up(error)

    def update(self, done: int, note: str = "") -> None:
        """`done` of `total` are done by now; `note` says what is going on."""
        self.done = min(max(done, self.done), self.total)
        try:
            self._display.update(self.done, note)
        except Exception as error:
            self._give_up(error)

    def tell(self, text: str) -> None:
        """A line that stays, such as what was finished."""
        try:
            self._display.tell(text)
        except Exception as error:
            self._give_up(error)

    def close(self) -> None:
        """Take the display down; safe to call twice."""
        display, self._display = self._display, _Silent()
        try:
            display.close()
        except Exception as error:
            self._give_up(error)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _give_up(self, error: Exception) -> None:
        logger.debug("progress of %s is not shown: %r", self.title, error)
        self._display = _Silent()


def suited_mode(stream: TextIO | None = None) -> Mode:
    """The way of showing progress that suits where this process runs."""
    asked = os.environ.get(VARIABLE, "")
    if asked in get_args(Mode):
        return asked  # type: ignore[return-value]
    if _in_kernel():
        # Only a kernel that a person opened has somebody to show a widget to: Jupyter's server
        # names the notebook in its environment, papermill and nbval do not.
        opened = "JPY_SESSION_NAME" in os.environ or "VSCODE_PID" in os.environ
        return "widget" if opened and importlib.util.find_spec("ipywidgets") else "lines"
    return "bar" if (stream or sys.stdout).isatty() else "lines"


def span(seconds: float) -> str:
    """A duration as a person reads it: `42 s`, `4:10`, `1:02:30`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Display(Protocol):
    def update(self, done: int, note: str) -> None: ...
    def tell(self, text: str) -> None: ...
    def close(self) -> None: ...


class _Silent:
    def update(self, done: int, note: str) -> None:
        """Show nothing."""

    def tell(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing was shown."""


class _Lines:
    """A line each time another tenth is done."""

    def __init__(self, total: int, title: str, stream: TextIO | None) -> None:
        self.total = total
        self.title = title
        self.stream = stream
        self.tenth = 0
        self.start = time.monotonic()

    def update(self, done: int, note: str) -> None:
        """Write a line if another tenth was reached."""
        tenth = TENTHS * done // self.total if self.total else TENTHS
        if tenth <= self.tenth:
            return
        self.tenth = tenth
        spent = time.monotonic() - self.start
        left = spent * (self.total - done) / done if done else 0.0
        rest = f"{span(left)} left" if done < self.total else f"in {span(spent)}"
        self.tell(
            f"{self.title} {done}/{self.total} ({100 * done // max(self.total, 1)} %) · {rest}"
            + (f" · {note}" if note else "")
        )

    def tell(self, text: str) -> None:
        """Write a line."""
        print(text, file=self.stream or sys.stdout, flush=True)

    def close(self) -> None:
        """Lines stay."""


class _Bar:
    """tqdm, in a terminal or as a widget."""

    def __init__(self, total: int, title: str, stream: TextIO | None, *, widget: bool) -> None:
        if widget:
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
        more: dict[str, Any] = {} if widget else {"dynamic_ncols": True}
        self.bar = tqdm(total=total, desc=title, file=stream or sys.stdout, leave=True, **more)

    def update(self, done: int, note: str) -> None:
        """Move the bar."""
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(done - self.bar.n)
        self.bar.refresh()

    def tell(self, text: str) -> None:
        """Write a line above the bar."""
        self.bar.write(text)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()


def _display(mode: Mode, total: int, title: str, stream: TextIO | None) -> _Display:
    if mode == "silent":
        return _Silent()
    if mode == "lines":
        return _Lines(total, title, stream)
    return _Bar(total, title, stream, widget=mode == "widget")


def _in_kernel() -> bool:
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
