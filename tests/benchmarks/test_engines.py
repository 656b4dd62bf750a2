"""The engines of the retrieval benchmark find what rokkit's index finds."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.contenders import Process
from search import exactness, tmall_like
from search.engines import MOST_ROWS, PYTHON, SAME_ORDER, engine, lucene
from search.field import at_hand

K = 7
FIELDS = 5
PACKAGE = {"bm25s": "bm25s", "tantivy": "tantivy", "sparse_dot_topn": "sparse_dot_topn"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(pool, queries), nine fields."""
    return tmall_like.make(3000, 60, 0, tmp_path_factory.mktemp("pool"))


def first(path: Path) -> np.ndarray:
    return np.ascontiguousarray(np.load(path)[:, :FIELDS])


@pytest.mark.parametrize("name", [name for name in PYTHON if name != "ours"])
def test_an_engine_finds_what_the_index_finds(
    name: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    if name in PACKAGE:
        pytest.importorskip(PACKAGE[name])
    pool, q = map(first, made)
    ours, other = engine("ours"), engine(name)
    for one in (ours, other):
        one.prepare()
        assert one.build(pool, tmp_path) > 0
    found, theirs = ours.search(q, K), other.search(q, K)
    same = exactness.agreement(name, found, theirs, other.per_idf)
    assert same.holds
    assert (found[1] > 0).any(axis=1).all()  # each query has a hit, so something was compared
    np.testing.assert_array_equal(theirs[0] < 0, theirs[1] == 0)


@pytest.mark.parametrize("name", ["term at a time", "row by row"])
def test_the_exhaustive_searches_agree_to_the_bit(
    name: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    pool, q = map(first, made)
    ours, other = engine("ours"), engine(name)
    ours.build(pool, tmp_path)
    other.build(pool, tmp_path)
    for _ in range(2):  # and leave nothing behind for the next search
        for a, b in zip(ours.search(q, K), other.search(q, K), strict=True):
            np.testing.assert_array_equal(a, b)


def test_each_limit_and_order_is_of_an_engine_that_exists() -> None:
    assert set(MOST_ROWS) <= set(PYTHON)
    assert set(SAME_ORDER) <= {*PYTHON, "lucene"}


def answer(ids: list[list[int]], scores: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(ids, np.int32), np.array(scores, np.float32)


OURS = answer([[4, 7], [1, -1]], [[2.0, 1.0], [3.0, 0.0]])


@pytest.mark.parametrize(
    ("name", "theirs", "per_idf", "identical", "holds"),
    [
        ("lucene 9.9.1", OURS, 1.0, 2, True),
        ("tantivy", answer([[4, 7], [1, -1]], [[1.0, 0.5], [1.5, 0.0]]), 0.5, 2, True),
        ("scipy", answer([[4, 9], [1, -1]], [[2.0, 1.0], [3.0, 0.0]]), 1.0, 1, True),
        ("lucene 9.9.1", answer([[4, 9], [1, -1]], [[2.0, 1.0], [3.0, 0.0]]), 1.0, 1, False),
        ("scipy", answer([[4, 7], [1, 2]], [[2.0, 1.0], [3.0, 1.0]]), 1.0, 1, False),
        ("scipy", answer([[4, 7], [1, -1]], [[2.0, 0.999], [3.0, 0.0]]), 1.0, 2, False),
    ],
    ids=["equal", "scaled", "ties as they please", "ties not ours", "one hit more", "score off"],
)
def test_agreement(
    name: str,
    theirs: tuple[np.ndarray, np.ndarray],
    per_idf: float,
    identical: int,
    holds: bool,
) -> None:
    found = exactness.agreement(name, OURS, theirs, per_idf)
    assert (found.queries, found.identical, found.holds) == (2, identical, holds)


def test_answers_are_read_as_they_were_written(tmp_path: Path) -> None:
    ids, scores = OURS
    ids.tofile(tmp_path / "out.ids")
    scores.tofile(tmp_path / "out.scores")
    for held, wanted in zip(exactness.read(str(tmp_path / "out"), 2, 2), OURS, strict=True):
        np.testing.assert_array_equal(held, wanted)


def fake_jar(path: Path, java: int, manifest: str, constants: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr(lucene.CORE, b"\xca\xfe\xba\xbe\x00\x00" + (java + 44).to_bytes(2, "big"))
        jar.writestr("META-INF/MANIFEST.MF", manifest)
        jar.writestr("org/apache/lucene/util/Version.class", constants)
    return path


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Jars of two versions of Lucene, beside one that is none; no JDK."""
    jars = tmp_path / "jars"
    jars.mkdir()
    fake_jar(
        jars / "core.jar",
        21,
        "Extension-Name: org.apache.lucene\nImplementation-Version: 10.5.2 x\n",
    )
    fake_jar(
        jars / "fat.jar", 11, "Main-Class: x\n", b"..LUCENE_9_9_0..LUCENE_9_10_1..LUCENE_8_11_2"
    )
    with zipfile.ZipFile(jars / "other.jar", "w") as other:
        other.writestr("a", "b")
    monkeypatch.setenv("LUCENE_JARS", str(jars))
    monkeypatch.setattr(lucene, "CARRIERS", ())
    monkeypatch.setattr(lucene, "SYSTEM_JDKS", tmp_path / "jdks")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(lucene.shutil, "which", lambda name: None)
    lucene.lucenes.cache_clear()
    yield tmp_path
    lucene.lucenes.cache_clear()


def with_jdk(folder: Path, java: str) -> Path:
    home = folder / "jdks" / f"jdk-{java}"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "javac").touch()
    (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{java}.0.1"\n')
    return home


def test_lucene_is_found_in_jars_the_newest_first(fake: Path) -> None:
    found = [(one.jar.name, one.version, one.java) for one in lucene.lucenes()]
    assert found == [("core.jar", "10.5.2", 21), ("fat.jar", "9.10.1", 11)]


def test_without_a_jdk_each_lucene_is_missed_with_its_remedy(fake: Path) -> None:
    found, notes = lucene.contenders()
    assert found == {}
    assert notes == [
        "lucene 10.5.2: it needs a JDK of Java 21 or later; none is found.",
        "lucene 9.10.1: it needs a JDK of Java 11 or later; none is found.",
    ]


def test_a_jdk_runs_the_lucene_that_is_not_too_new_for_it(fake: Path) -> None:
    home = with_jdk(fake, "17")
    found, notes = lucene.contenders()
    assert list(found) == ["lucene 9.10.1"]
    assert found["lucene 9.10.1"][0] == str(home / "bin" / "java")
    assert found["lucene 9.10.1"][-1].endswith("Lucene.java")
    assert notes == ["lucene 10.5.2: it needs a JDK of Java 21 or later; found: JDK 17."]
    newer = with_jdk(fake, "25")
    assert {words[0] for words in lucene.contenders()[0].values()} == {str(newer / "bin" / "java")}


def test_no_lucene_at_all_is_a_note(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCENE_JARS", "")
    assert lucene.contenders() == ({}, [f"lucene: not here. {lucene.REMEDY}"])


def test_lucene_itself_finds_what_the_index_finds(made: tuple[Path, Path], tmp_path: Path) -> None:
    at = {name: one for name, one in at_hand()[0].items() if name.startswith("lucene")}
    if not at:
        pytest.skip("no Lucene, or no JDK that runs it")
    pool, q = map(str, made)
    ours = engine("ours")
    ours.build(first(made[0]), tmp_path)
    wanted = ours.search(first(made[1]), K)
    for name, contender in at.items():
        place = tmp_path / name.replace(" ", "-")
        place.mkdir()
        with Process(contender, place / "log") as process:
            built = process.ask("build", pool=pool, fields=FIELDS, folder=str(place))
            out = os.fspath(place / "out")
            process.ask("answer", queries=q, fields=FIELDS, n=60, k=K, out=out)
            turn = process.ask("search", queries=q, fields=FIELDS, n=60, k=K)
        found = exactness.agreement(name, wanted, exactness.read(out, 60, K), built["per_idf"])
        assert found.holds
        assert found.identical == 60
        assert turn["units"] == 60
