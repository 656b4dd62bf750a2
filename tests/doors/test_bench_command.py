"""`rokkit bench`: the list, what is refused, and what a benchmark is handed."""

from pathlib import Path

import pytest

from rokkit.cli import main
from rokkit.commands.bench import scripts

ROOT = Path(__file__).resolve().parents[2]
HELLO = '''"""Says what it was handed.

    python benchmarks/hello.py
"""

import os
import sys

import rokkit

print(sys.argv[1:], os.path.basename(os.getcwd()))
print(os.environ["PYTHONPATH"].split(os.pathsep)[0])
sys.exit(int(os.environ.get("HELLO", 0)))
'''


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two benchmarks and the results of one; the working directory is below it."""
    folder = tmp_path / "checkout"
    for name in ("benchmarks/results", "notebooks"):
        (folder / name).mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "rokkit"\n')
    (folder / "benchmarks" / "hello.py").write_text(HELLO)
    (folder / "benchmarks" / "other.py").write_text('"""Another one."""\n')
    (folder / "benchmarks" / "results" / "other.md").write_text("1\n")
    monkeypatch.chdir(folder / "notebooks")
    return folder


def test_the_list_has_every_benchmark_and_its_results(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name   results                      what",
        "hello  none                         Says what it was handed.",
        "other  benchmarks/results/other.md  Another one.",
    ]


def test_those_of_this_repository_say_what_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    names = {"data_scale", "dense_search", "retrieval", "step_share", "teacher_leak"}
    assert set(scripts()) >= names
    assert main(["bench"]) == 0
    assert all(len(line.split(None, 2)) == 3 for line in capsys.readouterr().out.splitlines())


def test_a_benchmark_is_handed_its_options(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--option", "rows=[1e6,20]", "--option", "graph=true", "--option", "turn_seconds=0.5"]
    assert main(["bench", "hello", "--quick", *words, "--output", "here"]) == 0
    here = str(checkout / "notebooks" / "here")
    handed = ["--quick", "--rows", "1000000.0", "20", "--graph", "--turn-seconds", "0.5"]
    said = capfd.readouterr().out.splitlines()
    assert said == [f"{[*handed, '--output', here]} checkout", str(checkout)]


@pytest.mark.parametrize(("left", "code"), [(0, 0), (1, 1), (2, 2), (7, 1)])
def test_the_exit_code_is_that_of_the_worst(
    left: int, code: int, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELLO", str(left))
    assert main(["bench", "hello", "other"]) == code


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("hello helo", "benchmark 'helo' is not known. Did you mean 'hello'? Known: hello, other."),
        ("hello other --option rows=1", "--option is for one benchmark; 2 are named."),
        ("--option rows=1", "--option is for one benchmark; 0 are named."),
        ("--quick", "no benchmark is named. Known: hello, other."),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_runs(
    words: str, message: str, checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words.split()]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert message in said.err


def test_outside_a_checkout_it_says_where_benchmarks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "retrieval"]) == 2
    assert "run this command inside a clone of rokkit" in capsys.readouterr().err
