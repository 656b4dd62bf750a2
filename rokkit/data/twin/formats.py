"""The three public logs that a twin stands in for: their counts, columns, days and dirt.

Counts are of the real files (protocol of RIM, §5.1.1 of ROK; the organisers' descriptions). A twin
takes its ratios from them, so that a small one has as many rows per user and per item as the real
log has.
"""

from dataclasses import dataclass
from typing import Literal, get_args

FormatName = Literal["tmall", "taobao", "alipay"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)


@dataclass(frozen=True, kw_only=True)
class Format:
    """One raw format and the real log behind it. A count of 0 says that there is no such column."""

    name: FormatName
    file: str  # the log
    archive: str  # what the real one is downloaded as
    inside: str  # folder inside the archive, with a slash; may be empty
    columns: tuple[str, ...]  # of the log, in file order
    header: bool  # whether the real file names its columns
    rows: int
    users: int
    items: int
    categories: int
    sellers: int
    brands: int
    user_ids: int  # largest raw id; ids are scattered over 1..this
    item_ids: int
    category_ids: int
    seller_ids: int
    brand_ids: int
    actions: tuple[tuple[str, int], ...]  # (raw value, rows); the first is a view
    groups: int = 16  # hidden or known groups of users that share tastes: 8 ages x 2 genders


TMALL = Format(
    name="tmall",
    file="user_log_format1.csv",
    archive="data_format1.zip",
    inside="data_format1/",
    columns=(
        "user_id",
        "item_id",
        "cat_id",
        "seller_id",
        "brand_id",
        "time_stamp",
        "action_type",
    ),
    header=True,
    rows=54_925_330,
    users=424_170,
    items=1_090_390,
    categories=1_658,
    sellers=4_995,
    brands=8_443,
    user_ids=424_170,
    item_ids=1_113_166,
    category_ids=1_671,
    seller_ids=4_995,
    brand_ids=8_477,
    actions=(("0", 48_550_713), ("1", 76_750), ("2", 3_292_144), ("3", 3_005_723)),
)

TAOBAO = Format(
    name="taobao",
    file="UserBehavior.csv",
    archive="UserBehavior.csv.zip",
    inside="",
    columns=("user_id", "item_id", "category_id", "behavior", "timestamp"),
    header=False,
    rows=100_150_807,
    users=987_994,
    items=4_162_024,
    categories=9_439,
    sellers=0,
    brands=0,
    user_ids=1_018_011,
    item_ids=5_163_070,
    category_ids=5_161_669,
    seller_ids=0,
    brand_ids=0,
    actions=(("pv", 89_716_264), ("cart", 5_530_446), ("fav", 2_888_258), ("buy", 2_015_839)),
)

ALIPAY = Format(
    name="alipay",
    file="ijcai2016_taobao.csv",
    archive="IJCAI16_data.zip",
    inside="",
    columns=("use_ID", "sel_ID", "ite_ID", "cat_ID", "act_ID", "time"),
    header=True,
    rows=44_528_127,
    users=963_923,
    items=2_353_207,
    categories=72,
    sellers=10_000,
    brands=0,
    user_ids=963_923,
    item_ids=2_353_207,
    category_ids=72,
    seller_ids=10_000,
    brand_ids=0,
    actions=(("0", 35_179_371), ("1", 9_348_756)),
)

BY_NAME: dict[FormatName, Format] = {one.name: one for one in (TMALL, TAOBAO, ALIPAY)}

# tmall's second file: a line per user.
INFO_FILE = "user_info_format1.csv"
INFO_COLUMNS = ("user_id", "age_range", "gender")
# Users of the real file by age range 1 to 8, and by gender 0 and 1, where these are known.
AGES = (24, 52_871, 111_654, 79_991, 40_777, 35_464, 6_992, 1_266)
GENDERS = (285_638, 121_670)

# Shares of the real files: of users (age, gender), else of rows. The brand's is an item's property.
# The rates of taobao's stray times and duplicates are estimates from reports of others who read it.
DIRT: dict[FormatName, dict[str, float]] = {
    "tmall": {
        "empty brand": 91_015 / 54_925_330,
        "empty age": 2_217 / 424_170,
        "age 0": 92_914 / 424_170,
        "empty gender": 6_436 / 424_170,
        "gender 2": 10_426 / 424_170,
        "duplicate row": 0.0,
    },
    "taobao": {"stray time": 5.5e-4, "duplicate row": 5e-7},
    "alipay": {"duplicate row": 0.0},
}
