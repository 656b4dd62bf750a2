"""`rokkit data twin`: raw files of a made log, which `rokkit data build` then reads."""

import json
import zipfile
from pathlib import Path

import pytest

from rokkit.cli import main
from rokkit.data import load


def test_a_twin_is_written_and_read(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = places / "made"
    assert main(["data", "twin", "taobao", "--rows", "3000", "--folder", str(made)]) == 0
    said = capsys.readouterr().out.splitlines()
    report = json.loads((made / "twin.json").read_text())
    assert report["rows"] == (made / "UserBehavior.csv").read_bytes().count(b"\n") == 3000
    assert said[-2] == f"rows 3,000, users {report['users']:,}, items {report['items']:,}"
    # What is said to come next works.
    words = said[-1].removeprefix("samples of it: rokkit ").split()
    assert words == ["data", "build", "taobao", "--option", f"path={made}"]
    assert main(words) == 0
    assert load("taobao", path=str(made)).card["rows_read"] == 3000


def test_seed_and_knobs_reach_the_files(places: Path) -> None:
    words = ["data", "twin", "tmall", "--rows", "2000", "--folder"]
    quirks = ["--option", "quirks.archive=true", "--option", "quirks.bom=true"]
    assert main([*words, str(places / "a"), *quirks, "--option", "repeat_share=0"]) == 0
    report = json.loads((places / "a" / "twin.json").read_text())
    assert report["options"]["repeat_share"] == 0
    assert report["options"]["quirks"]["bom"] is True
    (archive,) = (places / "a").glob("*.zip")
    with zipfile.ZipFile(archive) as held:
        (log,) = [name for name in held.namelist() if name.endswith("user_log_format1.csv")]
        assert held.read(log).startswith(b"\xef\xbb\xbfuser_id")
    logs = []
    for seed in ("1", "2"):
        assert main([*words, str(places / seed), "--seed", seed]) == 0
        logs.append((places / seed / "user_log_format1.csv").read_bytes())
    assert logs[0] != logs[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tmal", "--folder", "{new}"], "Did you mean 'tmall'?"),
        (["tmall", "--folder", "{new}", "--option", "repeat_shar=0"], "'repeat_share'"),
        (["tmall", "--folder", "{new}", "--option", "quirks.bon=true"], "'bom'"),
        (["tmall", "--folder", "{new}", "--rows", "999"], "at least 1,000"),
        (["tmall", "--folder", "{old}"], "exists"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    assert main(["data", "twin", *(word.format(old=old, new=new) for word in words)]) == 2
    assert message in capsys.readouterr().err
    assert not new.exists()
    assert list(old.iterdir()) == []
