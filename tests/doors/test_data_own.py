"""`rokkit data build` and `describe` on a log of one's own."""

import re
from pathlib import Path

import pytest

from rokkit.cli import main
from rokkit.data import load
from rokkit.data.sources import own

SCHEMA = """\
name: clicks of a made-up shop
user: who
item: [what, kind]
time: {column: day, unit: yyyymmdd}
kind: impressions
label: {column: clicked, positive: [yes_please]}
split: {by: time, train: 20240102, val: 20240103, test: 20240104}
licence: CC0
"""
# Two users, four items, four days; every second row is a click.
ROWS = [
    f"{user},{10 + i % 4},k{i % 2},2024010{day},{'yes_please' if (i + user) % 2 else 'no'}"
    for day in (1, 2, 3, 4)
    for user in (1, 2)
    for i in range(5)
]


@pytest.fixture
def files(tmp_path: Path, places: Path) -> list[str]:
    """--schema and --events of a small log with three rows that cannot be used."""
    assert own.Own.Options is own.OwnOptions  # importing it registers the source
    (tmp_path / "my.yaml").write_text(SCHEMA)
    rows = [*ROWS, ",10,k0,20240101,no", "1,10,k0,someday,no", "1,10"]
    (tmp_path / "my.csv").write_text("\n".join(["who,what,kind,day,clicked", *rows]) + "\n")
    return ["--schema", str(tmp_path / "my.yaml"), "--events", str(tmp_path / "my.csv")]


def test_build_tells_counts_what_was_dropped_and_notes(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "build", *files]) == 0
    said = capsys.readouterr()
    samples = load("own", schema=files[1], events=files[3])
    first, second, *told = said.out.splitlines()
    assert said.err == ""
    assert first == "own: pool 10, train 10, val 10, test 10"
    assert re.fullmatch(rf"samples built in \d+ s: {re.escape(str(samples.folder))}", second)
    assert told == [
        "dropped  1: no who (the user)",
        "dropped  1: unreadable day (unit: yyyymmdd)",
        "dropped  1: malformed lines, with another number of fields",
        "note     Name: clicks of a made-up shop.",
        "note     The label is 1 where clicked is yes_please.",
    ]
    assert [int(part.y.sum()) for part in (samples.pool, samples.test)] == [5, 5]
    # Nothing is built and nothing told a second time.
    assert main(["data", "build", "own", *files]) == 0
    assert capsys.readouterr().out.splitlines() == [
        first,
        f"samples were there already: {samples.folder}",
    ]


def test_options_of_the_samples_go_with_the_files(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "build", *files, "--option", "train_rows=4"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("own: pool 10, train 4, val 10, test 10\n")
    assert "dropped  6: train lines outside the sub-sample\n" in out


def test_describe_shows_the_card(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "describe", *files]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^licence +CC0$", out, re.M)
    assert re.search(r"^dropped +1: no who \(the user\)$", out, re.M)
    assert re.search(r"^note +Name: clicks of a made-up shop\.$", out, re.M)
    assert re.search(r"^raw file +events\.csv [0-9a-f]{64}$", out, re.M)
    assert re.search(r"^raw file +schema\.yaml [0-9a-f]{64}$", out, re.M)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no data set is named. Give a name, such as journey"),
        (["own"], "data set 'own' lacks schema and events."),
        (["--schema", "my.yaml"], "data set 'own' lacks events."),
        (["--events", "my.csv"], "data set 'own' lacks schema."),
        (
            ["--schema", "no.yaml", "--events", "no.csv"],
            "schema no.yaml cannot be read (No such file or directory).",
        ),
        (
            ["--schema", "a", "--option", "schema=b"],
            "--schema and --option schema= say the same thing; give one.",
        ),
        (
            ["journey", "--schema", "my.yaml"],
            "--schema and --events are for a log of your own; 'journey' takes neither.",
        ),
    ],
)
@pytest.mark.parametrize("command", ["build", "describe"])
@pytest.mark.usefixtures("files")
def test_what_cannot_be_done_is_refused(
    command: str,
    words: list[str],
    message: str,
    places: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["data", command, *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert not places.exists()
