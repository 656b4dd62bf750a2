"""What a twin plants is there: shares, tails, tastes, drift, the burst."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rokkit.data.twin import FormatName, TwinOptions, TwinReport, write_twin
from rokkit.data.twin.formats import BY_NAME, INFO_FILE

NAMES = {
    "tmall": ["user", "item", "category", "seller", "brand", "time", "action"],
    "taobao": ["user", "item", "category", "action", "time"],
    "alipay": ["user", "seller", "item", "category", "action", "time"],
}
ROWS = 40_000
CLEAN = {name: TwinOptions(format=name, rows=ROWS, seed=3, dirt=0.0) for name in BY_NAME}

each_format = pytest.mark.parametrize("name", sorted(BY_NAME))
Made = tuple[pd.DataFrame, TwinReport]


def make(options: TwinOptions, folder: Path) -> Made:
    """(the log's rows in file order, the report)."""
    report = write_twin(options, folder)
    real = BY_NAME[options.format]
    log = pd.read_csv(
        folder / real.file,
        names=NAMES[options.format],
        header=0 if real.header else None,
        dtype={"action": str},
    )
    return log, report


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """A clean twin of each format."""
    folder = tmp_path_factory.mktemp("twins")
    return {name: make(options, folder / name) for name, options in CLEAN.items()}


@pytest.fixture
def one(tmp_path: Path) -> "type[Made]":
    """A clean twin with some knobs turned."""

    def build(name: FormatName, **knobs: object) -> pd.DataFrame:
        return make(replace(CLEAN[name], **knobs), tmp_path / f"{name}{len(knobs)}")[0]

    return build  # type: ignore[return-value]


def first_seen(log: pd.DataFrame) -> pd.Series:
    """Whether each row is the first of its user and item."""
    return ~log.duplicated(["user", "item"])


def concentration(log: pd.DataFrame, column: str) -> float:
    """Mean over users of the share of rows that have the user's most frequent value."""
    counts = log.groupby(["user", column]).size()
    rows = log.groupby("user").size()
    busy = rows[rows >= 20].index
    return float((counts.groupby("user").max() / rows)[busy].mean())


def shuffled(log: pd.DataFrame, column: str) -> pd.DataFrame:
    """The log as if users had no taste of their own."""
    order = np.random.default_rng(0).permutation(len(log))
    return log.assign(**{column: log[column].to_numpy()[order]})


@each_format
def test_ratios_are_those_of_the_real_log(logs: dict[str, Made], name: str) -> None:
    log, report = logs[name]
    real = BY_NAME[name]  # type: ignore[index]
    assert len(log) == report.rows == ROWS
    assert log["user"].nunique() == report.users == round(real.users * ROWS / real.rows)
    assert log["item"].nunique() == report.items
    assert 0.8 * real.items * ROWS / real.rows < report.items <= real.items * ROWS / real.rows + 1
    assert log["category"].nunique() == report.categories <= real.categories
    for column, count in (("seller", report.sellers), ("brand", report.brands)):
        assert (log[column].nunique() if column in log else 0) == count


@each_format
def test_parts_have_about_their_real_shares(logs: dict[str, Made], name: str) -> None:
    log, report = logs[name]
    train, test = {
        "tmall": (1101, 1111),
        "taobao": (1512144000, 1512230400),
        "alipay": (20151120, 20151125),
    }[name]
    counted = {
        "pool": int((log["time"] < train).sum()),
        "train": int(log["time"].between(train, test - 1).sum()),
        "test": int((log["time"] >= test).sum()),
    }
    assert counted == report.parts
    real = {
        "tmall": (0.625, 0.182, 0.193),  # counts of the real file
        "taobao": (0.727, 0.137, 0.136),
        "alipay": (0.926, 0.030, 0.045),
    }[name]
    shares = np.array(list(counted.values())) / ROWS
    # Rows come in sessions, so shares scatter more than those of single draws.
    assert shares == pytest.approx(np.array(real), abs=0.015)
    assert (log["time"].min(), log["time"].max()) == (report.time_first, report.time_last)


def test_tmall_bursts_on_11_november(logs: dict[str, Made]) -> None:
    log, report = logs["tmall"]
    days = log["time"].value_counts()
    assert days.idxmax() == 1111
    assert days[1111] == report.burst
    assert days[1111] / ROWS == pytest.approx(0.1927, abs=0.015)
    assert days[1111] > 5 * days.drop(1111).max()


def test_alipay_lacks_the_first_twenty_days_of_november(logs: dict[str, Made]) -> None:
    log, _ = logs["alipay"]
    days = np.sort(log["time"].unique())
    assert len(days) == 133
    assert days[0] == 20150701
    assert days[-1] == 20151130
    assert not ((days > 20151031) & (days < 20151121)).any()


def test_taobao_sleeps_at_night(logs: dict[str, Made]) -> None:
    log, _ = logs["taobao"]
    assert log["time"].min() >= 1511539200
    assert log["time"].max() < 1511539200 + 9 * 86400
    hour = (log["time"] + 8 * 3600) // 3600 % 24  # in China
    share = hour.value_counts(normalize=True)
    assert share[[2, 3, 4, 5]].sum() < 0.05
    assert share[[20, 21, 22]].sum() > 0.2


@each_format
def test_actions_have_their_real_shares(logs: dict[str, Made], name: str) -> None:
    log, report = logs[name]
    counts = log["action"].value_counts().to_dict()
    assert counts == {raw: n for raw, n in report.actions.items() if n}
    real = dict(BY_NAME[name].actions)  # type: ignore[index]
    for raw, rows in real.items():
        assert report.actions[raw] / ROWS == pytest.approx(rows / sum(real.values()), abs=0.01)


def test_most_actions_follow_a_look_at_the_item(logs: dict[str, Made]) -> None:
    log, _ = logs["taobao"]  # the one that tells time within a day
    seen = ~first_seen(log)
    acted = log["action"] != "pv"
    assert seen[acted].mean() > 0.9
    assert seen[~acted].mean() < seen[acted].mean() - 0.3


@each_format
def test_lines_are_grouped_by_user(logs: dict[str, Made], name: str) -> None:
    log, report = logs[name]
    assert int((log["user"].diff() != 0).sum()) == report.users
    in_order = (log["time"].diff() >= 0) | (log["user"].diff() != 0)
    # taobao's users lie in time order; the others' sessions in any order.
    assert in_order.all() == (name == "taobao")


@each_format
def test_an_item_has_one_category_seller_and_brand(logs: dict[str, Made], name: str) -> None:
    log, _ = logs[name]
    owned = [column for column in ("category", "seller", "brand") if column in log]
    assert log.groupby("item")[owned].nunique().to_numpy().max() == 1


@each_format
def test_users_and_items_have_long_tails(logs: dict[str, Made], name: str) -> None:
    log, _ = logs[name]
    for column, least in (("user", 0.25), ("item", 0.3)):
        counts = np.sort(log[column].value_counts().to_numpy())[::-1]
        top = counts[: len(counts) // 10].sum() / ROWS
        assert top > least  # the top tenth
        assert np.median(counts) < 0.8 * counts.mean()


def test_equal_items_without_a_tail(one: "type[Made]") -> None:
    log = one("taobao", item_tail=1, novelty=0.0, category_tail=1, repeat_share=0.0)
    counts = np.sort(log["item"].value_counts().to_numpy())[::-1]
    assert counts[: len(counts) // 10].sum() / ROWS < 0.25


@each_format
def test_users_have_tastes(logs: dict[str, Made], one: "type[Made]", name: FormatName) -> None:
    log, _ = logs[name]
    assert concentration(log, "category") > 1.5 * concentration(
        shuffled(log, "category"), "category"
    )
    aimless = one(name, taste_share=0.0)
    # Without tastes, what is left is that sessions and returns stay in a category.
    assert concentration(log, "category") > 1.2 * concentration(aimless, "category")


def test_users_have_favourite_brands(logs: dict[str, Made], one: "type[Made]") -> None:
    log, _ = logs["tmall"]
    any_style = one("tmall", style_share=0.0)
    assert concentration(log, "brand") > 1.1 * concentration(any_style, "brand")


def test_tastes_move(logs: dict[str, Made], one: "type[Made]") -> None:
    def kept(log: pd.DataFrame) -> float:
        """Share of a user's last day's rows in a category of the user's first two days."""
        day = (log["time"] - 1511539200) // 86400
        early = log[day < 2][["user", "category"]].drop_duplicates()
        late = log[day == 8].merge(early, how="left", indicator=True)
        return float((late["_merge"] == "both").mean())

    moving, settled = one("taobao", taste_life=0.3), one("taobao", taste_life=50.0, tastes=3)
    assert kept(settled) > kept(logs["taobao"][0]) + 0.1 > kept(moving) + 0.1


def test_items_are_born_and_fade(one: "type[Made]") -> None:
    def overlap(log: pd.DataFrame) -> float:
        """Cosine of the item counts of the first and the last two days."""
        day = (log["time"] - 1511539200) // 86400
        counts = pd.crosstab(log["item"], np.where(day < 2, 0, np.where(day > 6, 2, 1)))
        a, b = counts[0].to_numpy(float), counts[2].to_numpy(float)
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    still = {"taste_life": 50.0, "repeat_share": 0.0, "novelty": 1.0}
    assert overlap(one("taobao", item_drift=0.0, **still)) > 1.3 * overlap(
        one("taobao", item_drift=1.0, taste_share=0.85, **still)
    )


@each_format
def test_returns_are_planted(one: "type[Made]", logs: dict[str, Made], name: FormatName) -> None:
    log, report = logs[name]
    by_chance = 1 - first_seen(one(name, repeat_share=0.0)).mean()
    often = 1 - first_seen(one(name, repeat_share=0.6, memory=50)).mean()
    # What comes about by chance stays: a return is planted over it, or over something new.
    assert often > by_chance + 0.3 * (1 - by_chance)
    assert report.repeats / ROWS == pytest.approx(0.2, abs=0.01)
    # A return that is planted is a row of a known item.
    assert report.repeats <= int((~first_seen(log)).sum())


def test_returns_are_to_recent_items(one: "type[Made]") -> None:
    def within(log: pd.DataFrame, rows: int) -> float:
        """Share of rows whose item the user had at most so many rows before."""
        place = pd.Series(np.arange(len(log)))
        back = place - place.groupby([log["user"], log["item"]]).shift()
        return float((back <= rows).mean())

    never, often = one("taobao", repeat_share=0.0), one("taobao", repeat_share=0.4, memory=50)
    assert within(often, 5) > within(never, 5) + 0.2
    assert within(often, 1) > within(never, 1) + 0.15


def test_sessions_are_runs_close_in_time_in_one_category(logs: dict[str, Made]) -> None:
    log, report = logs["taobao"]
    same_user = log["user"].diff() == 0
    gap = log["time"].diff()[same_user]
    assert (gap <= 241).mean() > 0.4  # half of the rows continue a session
    assert (gap > 3600).mean() > 0.3
    near = same_user & (log["time"].diff() <= 241)
    far = same_user & (log["time"].diff() > 3600)
    stays = log["category"].diff() == 0
    assert stays[near].mean() > 0.8
    assert stays[far].mean() < 0.5
    assert ROWS / report.sessions == pytest.approx(2.0, abs=0.05)


def test_age_and_gender_go_with_tastes(tmp_path: Path) -> None:
    def told(log: pd.DataFrame, folder: Path) -> float:
        """How much more often two users of a group share a top category than any two."""
        users = pd.read_csv(folder / INFO_FILE)
        top = log.groupby("user")["category"].agg(lambda c: c.mode().iloc[0])
        users["top"] = top.reindex(users["user_id"]).to_numpy()
        within = [
            (shares**2).sum()
            for _, group in users.groupby(["age_range", "gender"])
            if len(group) >= 20
            for shares in [group["top"].value_counts(normalize=True).to_numpy()]
        ]
        anywhere = (users["top"].value_counts(normalize=True).to_numpy() ** 2).sum()
        return float(np.mean(within) / anywhere)

    ratios = []
    for share in (0.0, 1.0):
        options = replace(CLEAN["tmall"], group_share=share)
        folder = tmp_path / str(share)
        log, report = make(options, folder)
        assert len(pd.read_csv(folder / INFO_FILE)) == report.users
        ratios.append(told(log, folder))
    assert ratios[1] > 1.5 * ratios[0]
