"""The benchmarks' harness: contenders in processes, turns, what is kept, goals."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness import surroundings
from harness.arguments import RESULTS, kept_in, parsed, parser
from harness.contenders import Contender, OutOfTheRace, Process, python_of
from harness.goals import Goal, goals_table
from harness.results import Results, table
from harness.scratch import scratch
from harness.turns import Rate, Turn, in_rounds, summary

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PEER = """
import os, sys
from harness.answering import NotHere, serve, timed

def steps(n):
    print("a library that talks")
    return timed(lambda: sum(range(1000))) | {"units": n, "threads": os.environ["OMP_NUM_THREADS"]}

def absent():
    raise NotHere("pip install it.")

def unknown_package():
    import a_package_that_nobody_has

def broken():
    raise KeyError("no such column")

def dead():
    print("out of memory", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)

serve({f.__name__: f for f in (steps, absent, unknown_package, broken, dead)})
"""


@pytest.fixture
def peer(tmp_path: Path) -> Contender:
    (tmp_path / "peer.py").write_text(PEER)
    return Contender(
        name="peer",
        command=(sys.executable, str(tmp_path / "peer.py")),
        environment={"PYTHONPATH": str(BENCHMARKS)},
    )


def test_a_contender_answers_in_its_own_process(peer: Contender, tmp_path: Path) -> None:
    with Process(peer, tmp_path / "log") as process:
        first, second = process.ask("steps", n=3), process.ask("steps", n=4)
    assert (first["units"], second["units"]) == (3, 4)
    assert first["threads"] == "1"
    assert first["wall"] > 0
    assert first["cpu"] >= 0
    # What it prints is no answer; it is kept aside.
    assert (tmp_path / "log").read_text().splitlines() == ["a library that talks"] * 2


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("absent", "peer: not here. pip install it."),
        ("unknown_package", "peer: not here. No module named 'a_package_that_nobody_has'"),
        ("broken", "peer: failed in 'broken'. KeyError: 'no such column'"),
        ("dead", "peer: ended with code 3 in 'dead'. out of memory"),
    ],
)
def test_who_cannot_go_on_says_why(
    peer: Contender, tmp_path: Path, task: str, message: str
) -> None:
    with Process(peer, tmp_path / "log") as process, pytest.raises(OutOfTheRace) as caught:
        process.ask(task)
    assert str(caught.value) == message


def test_one_that_failed_may_be_asked_again(peer: Contender, tmp_path: Path) -> None:
    with Process(peer, tmp_path / "log") as process:
        with pytest.raises(OutOfTheRace):
            process.ask("broken")
        assert process.ask("steps", n=1)["units"] == 1


def test_a_program_that_does_not_exist_is_out_of_the_race(tmp_path: Path) -> None:
    with pytest.raises(OutOfTheRace, match="peer: cannot be started"):
        Process(Contender(name="peer", command=(str(tmp_path / "none"),)), tmp_path / "log")


def test_a_contender_may_have_a_python_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROKKIT_PYTHON_TORCH_RECHUB", raising=False)
    assert python_of("torch-rechub") == sys.executable
    monkeypatch.setenv("ROKKIT_PYTHON_TORCH_RECHUB", "there/python")
    assert python_of("torch-rechub") == "there/python"


def noting(name: str, seen: list[str]) -> Callable[[], str]:
    def turn() -> str:
        seen.append(name)
        return f"{name}{len(seen)}"

    return turn


def test_every_round_has_one_turn_of_each_in_an_order_of_its_own() -> None:
    seen: list[str] = []
    found, out = in_rounds({name: noting(name, seen) for name in "abc"}, rounds=12)
    rounds = [tuple(seen[i : i + 3]) for i in range(0, 36, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 2
    assert {name: len(turns) for name, turns in found.items()} == {"a": 12, "b": 12, "c": 12}
    assert out == {}


def test_the_order_is_that_of_the_seed() -> None:
    orders = []
    for seed in (1, 1, 2):
        seen: list[str] = []
        in_rounds({name: noting(name, seen) for name in "abcd"}, rounds=5, seed=seed)
        orders.append(seen)
    assert orders[0] == orders[1] != orders[2]


def test_who_drops_out_has_no_turns_and_the_others_go_on() -> None:
    seen: list[str] = []
    left = iter(range(2))

    def tires() -> str:
        if next(left, None) is None:
            raise OutOfTheRace("b: no memory.")
        return "b"

    found, out = in_rounds({"a": noting("a", seen), "b": tires}, rounds=4)
    assert list(found) == ["a"]
    assert len(found["a"]) == 4
    assert out == {"b": "b: no memory."}


def test_rates_and_ratios_are_taken_round_by_round() -> None:
    turns = {
        "ours": [Turn(100, 1.0, 2.0), Turn(100, 2.0, 2.0), Turn(100, 4.0, 4.0)],
        "peer": [Turn(10, 1.0, 1.0), Turn(10, 1.0, 1.0), Turn(10, 2.0, 2.0)],
    }
    found = summary(turns, "ours")
    assert found["ours"]["cpu"] == {"median": 50.0, "low": 25.0, "high": 100.0}
    assert found["ours"]["wall"] == {"median": 50.0, "low": 25.0, "high": 50.0}
    assert found["ours"]["times"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert found["peer"]["cpu"] == {"median": 10.0, "low": 5.0, "high": 10.0}
    # 100 against 10, 50 against 10, 25 against 5.
    assert found["peer"]["times"] == {"median": 5.0, "low": 5.0, "high": 10.0}
    assert found["peer"]["turns"][0] == {"units": 10, "cpu": 1.0, "wall": 1.0}


def test_the_median_of_an_even_number_lies_between() -> None:
    assert Rate.of([4.0, 1.0, 2.0, 10.0]) == Rate(3.0, 1.0, 10.0)


def shown(cases: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {found['rate']}" for name, found in cases.items())


def test_a_case_takes_the_place_of_its_earlier_run_alone(tmp_path: Path) -> None:
    Results("speed", tmp_path, shown).keep("small", {"rate": 1.5, "load": [0.1, None]})
    later = Results("speed", tmp_path, shown)
    later.keep("large", {"rate": 2.0})
    later.keep("small", {"rate": 3.0})
    held = json.loads((tmp_path / "speed.json").read_text())
    assert held == {"cases": {"small": {"rate": 3.0}, "large": {"rate": 2.0}}}
    assert Results("speed", tmp_path, shown).cases == held["cases"]
    assert (tmp_path / "speed.md").read_text() == "small: 3.0\nlarge: 2.0\n"


def test_the_page_shows_what_a_reader_of_the_file_sees(tmp_path: Path) -> None:
    results = Results("speed", tmp_path, shown)
    results.keep("k", {"rate": {10: (1, 2)}})
    assert results.page() == "k: {'10': [1, 2]}\n"


def test_without_a_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = Results("speed", None, shown)
    results.keep("small", {"rate": 1})
    assert results.page() == "small: 1\n"
    assert list(tmp_path.iterdir()) == []


def test_a_table_aligns_numbers_right() -> None:
    assert table(("A", "n"), [("x", "1")]) == "| A | n |\n| --- | ---: |\n| x | 1 |"


@pytest.mark.parametrize(
    ("bound", "measured", "at_least", "verdict"),
    [
        (30, 30.0, True, "met"),
        (30, 29.9, True, "not met"),
        (10, 9.9, False, "met"),
        (10, 10.0, False, "not met"),
        (10, None, False, "not measured"),
    ],
)
def test_a_verdict_is_computed(
    bound: float, measured: float | None, at_least: bool, verdict: str
) -> None:
    goal = Goal(text="it", bound=bound, measured=measured, at_least=at_least, unit="x")
    sign = "at least" if at_least else "below"
    found = "–" if measured is None else f"{measured:.4g}x"
    assert goal.verdict == verdict
    assert goals_table([goal]).splitlines()[-1] == f"| it | {sign} {bound}x | {found} | {verdict} |"


def test_surroundings_tell_machine_versions_command_and_date() -> None:
    found = surroundings.surroundings(["python", "a b.py"], ["numpy", "a-package-nobody-has"])
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["cpu"]
    assert set(found["versions"]) == {"python", "numpy"}
    assert found["command"] == "python 'a b.py'"
    assert datetime.fromisoformat(found["date"]).tzinfo is not None


def test_the_command_is_kept_without_folders_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [str(BENCHMARKS / "retrieval.py"), "--rows", "1e6", "--output", str(tmp_path / "here")]
    monkeypatch.setattr(sys, "argv", words)
    kept = ["python", "benchmarks/retrieval.py", "--rows", "1e6", "--output", "here"]
    assert surroundings.called() == kept


def test_the_model_of_the_processor_is_read_where_linux_tells_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Abacus 3000 @ 2\nflags: a\n")
    monkeypatch.setattr(surroundings, "CPUINFO", tmp_path / "cpuinfo")
    assert surroundings.cpu_model() == "Abacus 3000 @ 2"


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([], RESULTS),
        (["--quick"], None),
        (["--output", "here"], Path("here")),
        (["--quick", "--output", "here"], Path("here")),
    ],
)
def test_where_results_are_kept(words: list[str], folder: Path | None) -> None:
    assert kept_in(parser("About.").parse_args(words)) == folder
    assert RESULTS == BENCHMARKS / "results"


def test_what_is_not_asked_for_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["it", "--quick"])
    made = parser("It.")
    made.add_argument("--rounds", type=int)
    asked = parsed(made, {"rounds": 9}, {"rounds": 2})
    assert asked.rounds == 2


def test_the_folder_for_scratch_is_made_and_what_lay_in_it_is_gone(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    with scratch(place) as folder:
        assert folder.parent == place
        (folder / "made").touch()
    assert place.is_dir()
    assert list(place.iterdir()) == []
