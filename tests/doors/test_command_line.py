"""rokkit on the command line: help, exit codes, messages, and what each command shows."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rokkit.cli import main, parser
from rokkit.commands.common import given_parameters
from rokkit.data import load
from rokkit.doctor import Finding
from rokkit.errors import ConfigError


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `rokkit words`."""
    try:
        code = main(words)
    except SystemExit as left:
        code = int(left.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def held(folder: Path) -> list[str]:
    """Every file under `folder`."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def all_commands(of: argparse.ArgumentParser, *before: str) -> dict[tuple[str, ...], Any]:
    """The parser of each command and of each command of a command."""
    found = {before: of}
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found |= all_commands(inner, *before, name)
    return found


COMMANDS = all_commands(parser())


def test_the_commands_are_those_of_the_readme() -> None:
    names = {" ".join(words) for words in COMMANDS}
    data = {f"data {name}" for name in ("list", "fetch", "build", "describe", "twin")}
    assert (
        names
        == {"", "data", "run", "tune", "models", "table", "claims", "export", "bench", "doctor"}
        | data
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_examples_that_are_understood(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(capsys, *words, "--help")
    assert (code, err) == (0, "")
    examples = out.partition("\nexamples:\n")[2].strip().splitlines()
    assert examples
    for line in examples:
        # What follows two spaces says what the example is for.
        program, *arguments = shlex.split(re.split(r"\s{2,}", line.strip())[0])
        assert program == "rokkit"
        assert tuple(arguments[: len(words)]) == words
        assert callable(parser().parse_args(arguments).run)


def test_params_files_of_the_examples_exist() -> None:
    named = {
        name for one in COMMANDS.values() for name in re.findall(r"params/\S+yaml", one.epilog)
    }
    assert "params/movielens.yaml" in named
    assert all((Path(__file__).parents[2] / name).is_file() for name in named)


def test_help_does_not_wait_for_torch() -> None:
    source = (
        "import sys\nfrom rokkit.cli import main\n"
        "try: main(['run', '--help'])\nexcept SystemExit: pass\n"
        "print({'torch', 'pandas', 'papermill'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data build movielen", "data set 'movielen' is not known. Did you mean 'movielens'?"),
        ("data describe jurney", "data set 'jurney' is not known. Did you mean 'journey'?"),
        ("data fetch movielen", "data set 'movielen' is not known. Did you mean 'movielens'?"),
        ("data fetch toy", "Toy has nothing to fetch"),
        (
            "data build journey --option usres=60",
            "data set 'journey': setting 'usres' is not known. Did you mean 'users'?",
        ),
        ("data build toy --option users=many", "data set 'toy': users is 'many' (str)"),
        ("data build toy --option users", "--option: 'users' is not an option"),
        ("data build toy --option users=[6", "the value of 'users=[6' cannot be read as YAML"),
        ("bench retreival", "benchmark 'retreival' is not known. Did you mean 'retrieval'?"),
        ("models dni", "model 'dni' is not known. Did you mean 'din'?"),
        ("table -p alhpa=0.3", "parameters: setting 'alhpa' is not known. Did you mean 'alpha'?"),
        ("table -p dataset=toyy", "data set 'toyy' is not known. Did you mean 'toy'?"),
        ("table -p systems=[DINN]", "system 'DINN' is not known. Did you mean 'DIN'?"),
        ("table --params no.yaml", "no.yaml does not exist. Params files lie in params/."),
        ("table --params params", "params cannot be read: Is a directory."),
        ("export din-s0", "run 'din-s0' is not known in "),
    ],
)
@pytest.mark.usefixtures("toy")
def test_what_cannot_be_done_is_refused_with_the_nearest_name(
    words: str, message: str, places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.startswith("rokkit: ")
    assert message in err
    assert not places.exists()


@pytest.mark.parametrize("words", ["modles", "models --setings", "data", "run --jobs two", ""])
def test_what_argparse_refuses_is_told_on_stderr(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(capsys, *words.split())
    assert (code, out) == (2, "")
    assert "rokkit" in err
    assert "error: " in err


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ConfigError, match="model 'dni' is not known"):
        main(["--debug", "models", "dni"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "--version") == (0, "rokkit 0.1.0\n", "")


def test_ctrl_c_gives_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rokkit.doctor.checks", stopped)
    code, out, _ = called(capsys, "doctor")
    assert code == 130
    assert "the same command goes on from there" in out


def test_a_reader_that_left_is_no_error() -> None:
    source = (
        "import time\nfrom rokkit.cli import main\nfrom rokkit.commands import models\n"
        "def run(options):\n    time.sleep(0.5)\n    print('din')\n    return 0\n"
        "models.run = run\nraise SystemExit(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_parameter_replaces_that_of_the_file_or_adds_to_its_list(tmp_path: Path) -> None:
    """Kills: the file's list lost, a list put into a list, a text taken apart into letters."""
    held = tmp_path / "study.yaml"
    held.write_text("model_options: [din.dropout=0.1]\nsystems: [MLP]\nk: 5\n")

    def given(*pairs: str) -> dict[str, Any]:
        named = argparse.Namespace(params=str(held), parameter=list(pairs))
        return given_parameters(named)

    added = given("model_options+=ubr.turns=9", "systems+=[DIN, RIM]", "k=7", "seeds+=3")
    assert added["model_options"] == ["din.dropout=0.1", "ubr.turns=9"]
    assert added["systems"] == ["MLP", "DIN", "RIM"]
    assert (added["k"], added["seeds"]) == (7, [3])
    assert given("systems=[DIN]")["systems"] == ["DIN"]
    with pytest.raises(ConfigError, match=r"k is 5 in the file; expected a list to add to"):
        given("k+=7")


@pytest.mark.usefixtures("toy")
def test_data_list_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> dict[str, list[str]]:
        code, out, _ = called(capsys, "data", "list")
        lines = [re.split(r"\s{2,}", line) for line in out.splitlines()]
        assert (code, lines[0]) == (0, ["name", "raw files", "samples", "what"])
        return {line[0]: line[1:] for line in lines[1:]}

    before = rows()
    assert before["toy"] == ["there", "0 built", "Made for the doors"]
    assert before["movielens"][:2] == ["missing", "0 built"]  # nothing was fetched to this place
    assert before["journey"][:2] == ["there", "0 built"]
    load("toy")
    load("toy", train_rows=4)
    assert rows() == before | {"toy": ["there", "2 built", "Made for the doors"]}


@pytest.mark.usefixtures("toy")
def test_data_build_tells_counts_and_builds_once(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("data", "build", "toy", "--option", "train_rows=6")
    code, out, err = called(capsys, *words)
    samples = load("toy", train_rows=6)
    first, second, *told = out.splitlines()
    assert told[0] == "dropped  3: train lines outside the sub-sample"
    assert (code, err) == (0, "")
    assert first == "toy: pool 42, train 6, val 3, test 6"
    assert re.fullmatch(rf"samples built in \d+ s: {re.escape(str(samples.folder))}", second)
    before = held(places)
    assert called(capsys, *words)[1].splitlines() == [
        first,
        f"samples were there already: {samples.folder}",
    ]
    assert held(places) == before


@pytest.mark.usefixtures("places")
def test_data_describe_shows_the_card_and_table_1(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"users": 60, "train_rows": 800, "val_rows": 400, "test_rows": 400}
    pairs = [word for name, value in asked.items() for word in ("--option", f"{name}={value}")]
    code, out, _ = called(capsys, "data", "describe", "journey", *pairs)
    samples = load("journey", **asked)
    cells = [[c.strip("* ") for c in row.split("|")[1:-1]] for row in out.splitlines()]
    table = {row[0]: row[1:] for row in cells if row}
    assert code == 0
    assert re.search(r"licence\s+MIT", out)
    for part in ("pool", "train", "val", "test"):
        assert table[part][0] == f"{len(samples.part(part)):,}"  # type: ignore[arg-type]
    assert [len(samples.part(p)) for p in ("train", "val", "test")] == [800, 400, 400]  # type: ignore[arg-type]
    rows = len(samples.pool) + 1600
    features = samples.schema.n_ids - 1
    assert table["journey"][:2] == ["here", "60"]
    assert table["journey"][3:5] == [f"{rows:,}", "8"]
    assert table["journey"][5] == f"{features:,}"
    assert table["Tmall"][0] == "paper"
    assert out.splitlines()[-1] == f"samples: {samples.folder}"


def test_models_lists_what_each_reads(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "models", "[dlmr]*")
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert code == 0
    assert rows[0] == ["name", "family", "paper", "reads", "teacher"]
    found = {row[0]: (row[3], row[4]) for row in rows[1:]}
    assert found["lr"] == ("features", "no")
    assert found["din"] == ("features, history", "no")
    assert found["rim"] == ("features, neighbours", "yes")


def test_models_settings_shows_defaults_of_those_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = called(capsys, "models", "l*", "--settings")
    assert code == 0
    assert re.split(r"\n{2,}", out)[1].splitlines() == [
        "lr",
        "  embed_dim  16",
        "  init_std   0.01",
    ]


@pytest.mark.parametrize(("state", "code"), [("OK", 0), ("WARN", 0), ("FAIL", 1)])
def test_doctor_fails_only_if_a_check_does(
    state: Any, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Finding("OK", "python", "3.11.0"), Finding(state, "disk", "1 GiB", "Free some.")]
    monkeypatch.setattr("rokkit.doctor.checks", lambda: found)
    got, out, _ = called(capsys, "doctor")
    assert got == code
    assert out.splitlines() == [
        "OK    python      3.11.0",
        f"{state:<4}  disk        1 GiB",
        "                  → Free some.",
    ]


@pytest.mark.usefixtures("toy")
def test_table_names_the_missing_runs_and_how_to_do_them(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = ("-p", "dataset=toy", "-p", "systems=[LR,MLP+ROK]", "-p", "seeds=[0]")
    code, out, err = called(capsys, "table", *pairs, "--partial")
    assert (code, out) == (2, "")
    assert "2 of 2 runs are not there: lr-s0, mlp+rok-s0." in err
    assert "(rokkit run -p dataset=toy -p 'systems=[LR,MLP+ROK]' -p 'seeds=[0]')" in err
    assert sorted(p.name for p in places.iterdir()) == ["data"]
