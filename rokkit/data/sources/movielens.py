"""MovieLens-1M: a million ratings, as an impression log."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from rokkit.data.log import ImpressionLog, LogField, Origin
from rokkit.data.sources import movielens_wheel as wheel
from rokkit.data.sources.base import Source, SourceOptions, location, register_source
from rokkit.data.splits import GlobalShares, PerUser, Shares
from rokkit.errors import DataError
from rokkit.paths import shown

RATED = ["user", "item", "rating", "time"]
USERS = ["user", "gender", "age", "occupation", "zip"]
MOVIES = ["item", "title", "genres"]
# The counts of the original archive; others are reported in the card.
EXPECTED = {"ratings": 1_000_209, "users": 6_040, "rated movies": 3_706}


@dataclass(frozen=True, kw_only=True)
class MovieLensOptions(SourceOptions):
    """How the ratings are split, and where they lie."""

    path: str | None = location()  # the user's own ml-1m folder; None: the fetched wheel
    split: Literal["user", "global"] = "user"  # in each user's time order, or at one moment
    pool: float = 0.70
    train: float = 0.15
    val: float = 0.05
    test: float = 0.10

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shares()

    def shares(self) -> Shares:
        """The four shares; ConfigError if they do not add up to 1."""
        return Shares(pool=self.pool, train=self.train, val=self.val, test=self.test)


@dataclass(frozen=True)
class _Tables:
    """The three tables as texts, keyed alike whichever way they came."""

    ratings: pd.DataFrame  # RATED; user as its number, item as title with year
    users: pd.DataFrame  # USERS
    movies: pd.DataFrame  # MOVIES; item as title with year, genres a list in its order


@register_source("movielens", title="MovieLens-1M: a million film ratings")
class MovieLens(Source):
    """Ratings of 6,040 users; the label is 1 from 4 stars on. Nothing is sampled.

    Fields: user; the item tuple item, genre, year; the context fields age (one of seven brackets),
    gender, occupation, zip (the first character of the code, a region). The genre is the first one
    listed, so that a film has one value per field; the year is that of release. Item is the title
    with its year, which identifies a film here. A film or user without an entry has missing values.

    Most users rate everything within a day, so by default each user's ratings are split in time
    order, ties in the order of the file; `split="global"` cuts at one moment for all.
    """

    Options = MovieLensOptions
    raw = "brought"

    def fetch(self) -> Path:
        """See `Source.fetch` and `movielens_wheel.fetch`."""
        return wheel.fetch()

    def files(self, options: MovieLensOptions) -> Mapping[str, Path]:
        """See `Source.files`."""
        if options.path is None:
            return {wheel.WHEEL: wheel.checked_wheel()}
        folder = Path(options.path).expanduser()
        files = {name: folder / name for name in ("ratings.dat", "users.dat", "movies.dat")}
        absent = [name for name, path in files.items() if not path.is_file()]
        if absent:
            raise DataError(
                f"{shown(folder)} lacks {', '.join(absent)}; expected the folder of the original "
                "ml-1m archive. Correct path=, or leave it out to use the fetched wheel."
            )
        return files

    def read(self, options: MovieLensOptions) -> ImpressionLog:
        """See `Source.read`."""
        tables = _from_wheel() if options.path is None else _from_folder(self.files(options))
        merged = len(tables.movies) - tables.movies["item"].nunique()
        users = tables.users.drop_duplicates("user").set_index("user")
        movies = tables.movies.drop_duplicates("item").set_index("item")
        ratings = tables.ratings
        user_row = users.index.get_indexer(ratings["user"])
        movie_row = movies.index.get_indexer(ratings["item"])

        def joined(values: "pd.Series[str]", row: object) -> pd.Categorical:
            return pd.Categorical(values).take(row, allow_fill=True)

        frame = pd.DataFrame(
            {
                "user": ratings["user"],
                "item": ratings["item"],
                "genre": joined(movies["genres"].str[0], movie_row),
                "year": joined(_year(movies.index.to_series()), movie_row),
                "age": joined(users["age"], user_row),
                "gender": joined(users["gender"], user_row),
                "occupation": joined(users["occupation"], user_row),
                "zip": joined(users["zip"].str[:1], user_row),
                "label": (_number(ratings, "rating") >= 4).astype("int8"),
                "time": _number(ratings, "time"),
            }
        )
        shares = options.shares()
        return ImpressionLog(
            frame=frame,
            fields=(
                LogField("user", "user"),
                *(LogField(name, "item") for name in ("item", "genre", "year")),
                *(LogField(name, "context") for name in ("age", "gender", "occupation", "zip")),
            ),
            retrieval=("user", "item", "genre", "year"),
            label="label",
            time="time",
            time_unit="seconds since 1970-01-01 UTC",
            split=PerUser(shares) if options.split == "user" else GlobalShares(shares),
            origin=Origin(
                licence="GroupLens research licence (MovieLens-1M)",
                licence_note=wheel.LICENCE_NOTE,
                rows_read=len(ratings),
                notes=(
                    "The label is 1 for a rating of 4 or 5.",
                    *_oddities(ratings, merged, (movie_row < 0).sum(), (user_row < 0).sum()),
                ),
            ),
        )


def _from_wheel() -> _Tables:
    """The wheel's tables: tab-separated with typed headers, films named by title and year."""
    ratings = _table(wheel.read_member("inter"), "ml-1m.inter", header=0)
    users = _table(wheel.read_member("user"), "ml-1m.user", header=0)
    movies = _table(wheel.read_member("item"), "ml-1m.item", header=0)
    ratings = ratings.set_axis(RATED, axis=1)
    users = users.set_axis(["user", "age", "gender", "occupation", "zip"], axis=1)
    for table in (ratings, users):
        # The wheel marks its users "1m_17"; the original archive has 17.
        table["user"] = _number(table.assign(user=table["user"].str.removeprefix("1m_")), "user")
    genres = movies["genre:token"].str.split(" ")
    return _Tables(
        ratings, users, pd.DataFrame({"item": movies["item_id:token"], "genres": genres})
    )


def _from_folder(files: Mapping[str, Path]) -> _Tables:
    """The original tables: fields between '::', Latin-1, films numbered."""
    tables = {}
    for name, columns in (("ratings", RATED), ("users", USERS), ("movies", MOVIES)):
        path = files[f"{name}.dat"]
        text = path.read_bytes().decode("latin-1").replace("::", "\t")
        tables[name] = _table(text, shown(path), columns=columns)
    ratings, users, movies = tables["ratings"], tables["users"], tables["movies"]
    # Films go by title, as in the wheel, so that both ways give the same samples.
    title = movies.drop_duplicates("item").set_index("item")["title"]
    ratings["item"] = ratings["item"].map(title).fillna(ratings["item"])
    for table in (ratings, users):
        table["user"] = _number(table, "user")
    movies = pd.DataFrame({"item": movies["title"], "genres": movies["genres"].str.split("|")})
    return _Tables(ratings, users, movies)


def _table(
    text: str, name: str, *, header: int | None = None, columns: list[str] | None = None
) -> pd.DataFrame:
    """A tab-separated table of texts; DataError that names the first line that does not fit."""
    _require_whole_lines(text, name, len(columns) if columns else None)
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep="\t",
            header=header,
            names=columns,
            dtype=str,
            keep_default_na=False,
            quoting=3,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(
            f"{name} cannot be read ({error}). Compare it with the original archive."
        ) from None


def _require_whole_lines(text: str, name: str, width: int | None) -> None:
    """DataError that names the first line without `width` fields (None: as many as the first)."""
    lines = text.split("\n")
    if width is None:
        width = lines[0].count("\t") + 1
    for number, line in enumerate(lines, start=1):
        if line and line.count("\t") != width - 1:
            raise DataError(
                f"{name}: line {number} has {line.count(chr(9)) + 1} fields; expected {width}. "
                "Compare it with the original archive."
            )


def _number(table: pd.DataFrame, column: str) -> "pd.Series[int]":
    """A column of texts as int64; DataError that shows the first one that is no whole number."""
    numbers = pd.to_numeric(table[column], errors="coerce")
    bad = (numbers.isna() | (numbers % 1 != 0)).to_numpy().nonzero()[0]
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"MovieLens: {column} is {table[column].iloc[row]!r} in row {row}; expected a whole "
            "number. Compare the files with the original archive."
        )
    return numbers.astype("int64")


def _year(titles: "pd.Series[str]") -> "pd.Series[str]":
    """The year that ends a title, such as 1995 in "Toy Story (1995)"; missing if none does."""
    return titles.str.extract(r"\((\d{4})\)\s*$", expand=False)


def _oddities(
    ratings: pd.DataFrame, merged: int, without_movie: int, without_user: int
) -> list[str]:
    """What differs from the original archive, in words; empty if nothing does."""
    notes = []
    found = {
        "ratings": len(ratings),
        "users": ratings["user"].nunique(),
        "rated movies": ratings["item"].nunique(),
    }
    if found != EXPECTED:
        counts = ", ".join(f"{n:,} {what} ({EXPECTED[what]:,})" for what, n in found.items())
        notes.append(f"Counts differ from MovieLens-1M (in brackets): {counts}.")
    if merged:
        notes.append(f"{merged} films share title and year with another and were merged.")
    if without_movie:
        notes.append(f"{without_movie} ratings are of films without an entry.")
    if without_user:
        notes.append(f"{without_user} ratings are of users without an entry.")
    return notes
