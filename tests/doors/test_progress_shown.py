"""rokkit.progress: a line per tenth, the mode that suits, and silence where showing fails."""

import io
import re

import pytest

from rokkit import progress
from rokkit.progress import Progress, span, suited_mode


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def percents(stream: io.StringIO) -> list[int]:
    return [int(found) for found in re.findall(r"\((\d+) %\)", stream.getvalue())]


@pytest.mark.parametrize("total", [10, 40, 1000])
def test_lines_are_one_per_tenth_and_end_at_the_whole(total: int) -> None:
    stream = io.StringIO()
    with Progress(total, "runs", mode="lines", stream=stream) as shown:
        for done in range(total + 1):
            shown.update(done)
    assert percents(stream) == list(range(10, 101, 10))


@pytest.mark.parametrize("total", [1, 3, 7])
def test_few_steps_have_a_line_each(total: int) -> None:
    stream = io.StringIO()
    with Progress(total, "runs", mode="lines", stream=stream) as shown:
        for done in range(total + 1):
            shown.update(done)
    assert percents(stream) == [100 * done // total for done in range(1, total + 1)]


def test_a_line_tells_count_time_and_note(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 130.0, 220.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    shown = Progress(4, "runs", mode="lines", stream=stream)
    shown.update(1, "din-s0")
    shown.tell("din-s0 is done")
    shown.update(4)
    monkeypatch.undo()
    assert stream.getvalue().splitlines() == [
        "runs 1/4 (25 %) · 1:30 left · din-s0",  # 30 s for one, three to go
        "din-s0 is done",
        "runs 4/4 (100 %) · in 2:00",
    ]


def test_progress_neither_goes_back_nor_beyond_its_total() -> None:
    stream = io.StringIO()
    shown = Progress(10, "runs", mode="lines", stream=stream)
    for done in (5, 3, 12):
        shown.update(done)
    assert percents(stream) == [50, 100]
    assert shown.done == 10


@pytest.mark.parametrize("mode", ["lines", "bar"])
def test_a_broken_stream_stops_nothing(mode: progress.Mode) -> None:
    with Progress(2, "runs", mode=mode, stream=Broken()) as shown:
        shown.update(1)
        shown.tell("text")
        shown.update(2)
    shown.close()
    assert shown.done == 2


def test_silent_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(2, "runs", mode="silent") as shown:
        shown.update(2)
        shown.tell("text")
    assert capsys.readouterr() == ("", "")


def test_a_bar_shows_title_and_note() -> None:
    stream = Terminal()
    with Progress(4, "notebooks", stream=stream, mode="bar") as shown:
        shown.update(2, "10_overall cell 6/14")
    assert "notebooks:  50%" in stream.getvalue()
    assert "10_overall cell 6/14" in stream.getvalue()


def test_the_mode_suits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    assert suited_mode(Terminal()) == "bar"
    assert suited_mode(io.StringIO()) == "lines"


@pytest.mark.parametrize(
    ("names", "mode"),
    [((), "lines"), (("JPY_SESSION_NAME",), "widget"), (("VSCODE_PID",), "widget")],
)
def test_a_kernel_shows_widgets_only_to_a_person(
    names: tuple[str, ...], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (progress.VARIABLE, "JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(progress, "_in_kernel", lambda: True)
    assert suited_mode(Terminal()) == mode


@pytest.mark.parametrize("mode", ["widget", "bar", "lines", "silent"])
def test_the_environment_overrides_the_choice(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROKKIT_PROGRESS", mode)
    assert suited_mode(Terminal()) == mode
    assert suited_mode(io.StringIO()) == mode


def test_an_unknown_mode_in_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROKKIT_PROGRESS", "loud")
    assert suited_mode(Terminal()) == "bar"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (42.4, "42 s"),
        (59.6, "1:00"),
        (250, "4:10"),
        (3599.6, "1:00:00"),
        (3750, "1:02:30"),
        (90061, "25:01:01"),
    ],
)
def test_a_span_is_written_as_a_person_reads_it(seconds: float, text: str) -> None:
    assert span(seconds) == text
