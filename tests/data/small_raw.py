"""Tiny raw files of the three Tianchi formats, with a knob for each quirk of the copies around."""

import dataclasses
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rokkit.data import EventLog, Samples, plan
from rokkit.data.assemble import Assembled, assemble
from rokkit.data.invariants import check
from rokkit.data.samples import PARTS

FORMATS = ("tmall", "taobao", "alipay")
FILES = {
    "tmall": "user_log_format1.csv",
    "taobao": "UserBehavior.csv",
    "alipay": "ijcai2016_taobao.csv",
}
NAMES = {
    "tmall": ("user_id", "item_id", "cat_id", "seller_id", "brand_id", "time_stamp", "action_type"),
    "taobao": ("user_id", "item_id", "category_id", "behavior", "timestamp"),
    "alipay": ("use_ID", "sel_ID", "ite_ID", "cat_ID", "act_ID", "time"),
}
# What each column holds, in the order of NAMES.
MEANINGS = {
    "tmall": ("user", "item", "category", "seller", "brand", "time", "action"),
    "taobao": ("user", "item", "category", "action", "time"),
    "alipay": ("user", "seller", "item", "category", "action", "time"),
}
PUBLISHED_HEADER = {"tmall": True, "taobao": False, "alipay": True}
USERS_FILE = "user_info_format1.csv"
USERS_NAMES = ("user_id", "age_range", "gender")

ACTIONS = {
    "tmall": ("0", "1", "2", "3"),
    "taobao": ("pv", "buy", "cart", "fav"),
    "alipay": ("0", "1"),
}
# Three moments of the pool, one each of train, val and test: at the cut, if rows lie there.
MOMENTS = {
    "tmall": ("0511", "0829", "1031", "1101", "1110", "1111"),
    "taobao": (
        "1511539200",
        "1511625600",
        "1512143999",
        "1512144000",
        "1512223200",
        "1512230400",
    ),
    "alipay": ("20150701", "20150829", "20151031", "20151121", "20151124", "20151130"),
}
CUTS = {
    "tmall": (1101, 1110, 1111),
    "taobao": (1512144000, 1512223200, 1512230400),
    "alipay": (20151120, 20151124, 20151125),
}
# item -> category, seller, brand
ITEMS = {
    "30": ("9", "4", "61"),
    "100": ("5", "3", "2661"),
    "2000": ("5", "4", ""),
    "8": ("9", "11", "61"),
}
# user -> age, gender; the user 99 has no entry
PEOPLE = {"7": ("1", "0"), "12": ("", "2"), "5": ("4", "")}

# (user, item, index of the moment, index of the action): not in time order.
EVENTS = (
    ("12", "100", 1, 0),
    ("7", "30", 0, 0),
    ("7", "2000", 1, 1),
    ("7", "100", 2, 0),
    ("12", "30", 3, 0),
    ("99", "8", 1, 1),
    ("7", "30", 3, 1),
    ("7", "2000", 4, 0),
    ("12", "2000", 5, 0),
    ("5", "30", 5, 0),
    ("7", "100", 5, 1),
)

Rows = list[list[str]]


def raw_rows(name: str, events: Iterable[tuple[str, str, int, int]] = EVENTS) -> Rows:
    """The rows of the format `name` for the given events."""
    rows = []
    for user, item, moment, action in events:
        category, seller, brand = ITEMS[item]
        cells = {
            "user": user,
            "item": item,
            "category": category,
            "seller": seller,
            "brand": brand,
            "time": MOMENTS[name][moment],
            "action": ACTIONS[name][action],
        }
        rows.append([cells[meaning] for meaning in MEANINGS[name]])
    return rows


def column(name: str, meaning: str) -> int:
    """Position of a column in the published file."""
    return MEANINGS[name].index(meaning)


def with_cell(name: str, rows: Rows, row: int, meaning: str, text: str) -> Rows:
    """A copy of `rows` with another text in one cell."""
    changed = [list(r) for r in rows]
    changed[row][column(name, meaning)] = text
    return changed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quirks:
    """How a table became a file."""

    header: bool = True
    order: tuple[int, ...] | None = None  # columns in another order
    spell: Callable[[str], str] = str  # of the column names
    index: bool = False  # a data frame's row numbers in front
    newline: str = "\n"
    bom: bool = False
    quotes: bool = False
    last_newline: bool = True
    cut: int = 0  # bytes lost at the end


def table(names: Sequence[str], rows: Rows, quirks: Quirks) -> bytes:
    """The bytes of a CSV file."""
    lines = [list(r) for r in rows]
    if quirks.header:
        lines.insert(0, [quirks.spell(one) for one in names])
    if quirks.order is not None:
        lines = [[line[i] for i in quirks.order] for line in lines]
    if quirks.index:
        first = [""] if quirks.header else []
        numbers = first + [str(i) for i in range(len(rows))]
        lines = [[number, *line] for number, line in zip(numbers, lines, strict=True)]
    if quirks.quotes:
        lines = [[f'"{cell}"' for cell in line] for line in lines]
    text = quirks.newline.join(",".join(line) for line in lines)
    text += quirks.newline if quirks.last_newline else ""
    data = (b"\xef\xbb\xbf" if quirks.bom else b"") + text.encode()
    return data[: len(data) - quirks.cut]


def users_table(people: Mapping[str, tuple[str, str]] | None = None) -> bytes:
    """The bytes of Tmall's file of users."""
    entries = PEOPLE if people is None else people
    rows = [[user, age, gender] for user, (age, gender) in entries.items()]
    return table(USERS_NAMES, rows, Quirks())


def write_raw(
    folder: Path, name: str, rows: Rows | None = None, quirks: Quirks | None = None
) -> Path:
    """A folder with the file of `rows` (those of EVENTS), and Tmall's file of users."""
    how = Quirks(header=PUBLISHED_HEADER[name]) if quirks is None else quirks
    content = table(NAMES[name], raw_rows(name) if rows is None else rows, how)
    return write_bytes(folder, name, content)


def write_bytes(folder: Path, name: str, content: bytes, users: bytes | None = None) -> Path:
    """As `write_raw`, of given bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILES[name]).write_bytes(content)
    if name == "tmall":
        (folder / USERS_FILE).write_bytes(users_table() if users is None else users)
    return folder


def pack(folder: Path, archive: Path, inside: str = "", shadows: bool = False) -> Path:
    """A zip with the files of `folder`, in a folder `inside`, with the shadows that macOS adds."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(folder.iterdir()):
            opened.write(path, inside + path.name)
            if shadows:
                opened.writestr(f"__MACOSX/{inside}._{path.name}", b"\x00\x05\x16\x07")
                opened.writestr(f"__MACOSX/{inside}{path.name}", b"\x00\x05\x16\x07")
    return archive


def log_of(name: str, path: Path, **options: Any) -> EventLog:
    """What the source reads."""
    wanted = plan(name, {"path": str(path), **options})
    log = wanted.source.read(wanted.options)
    assert isinstance(log, EventLog)
    return log


def made(name: str, path: Path, **options: Any) -> Assembled:
    """The samples in memory, all lines of the targets, with their invariants checked."""
    wanted = plan(name, {"path": str(path), "target_rate": 1.0, **options})
    out = assemble(name, wanted.source.read(wanted.options), wanted.options)
    check(out)
    return out


def arrays(made_or_read: Assembled | Samples) -> list[np.ndarray[Any, Any]]:
    """Everything that a model could see."""
    if isinstance(made_or_read, Samples):
        parts = [made_or_read.part(p) for p in PARTS]
    else:
        parts = [made_or_read.parts[p] for p in PARTS]
    history = made_or_read.history
    found = [getattr(part, kind) for part in parts for kind in ("x", "y", "time")]
    return [*found, history.offsets, history.rows, np.asarray(made_or_read.item_tuples)]


def assert_same(one: Assembled | Samples, other: Assembled | Samples) -> None:
    """Bit for bit, types included, and the same schema."""
    assert one.schema == other.schema
    for a, b in zip(arrays(one), arrays(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def counted(entries: Iterable[Any]) -> dict[str, int]:
    """What was counted, by the reason: (reason, rows) of an Origin, or the entries of a card."""
    pairs = [
        (e.get("reason") or e["what"], e["rows"]) if isinstance(e, dict) else e for e in entries
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def data_lines(content: bytes, header: bool) -> int:
    """Lines of a file that hold anything, without the header."""
    lines = re.split(rb"\r\n|\n|\r", content.removeprefix(b"\xef\xbb\xbf"))
    return len([line for line in lines if line]) - header


@st.composite
def random_rows(draw: st.DrawFn, name: str, most: int = 25) -> Rows:
    """Random rows of a format with at least one row in each part."""
    event = st.tuples(
        st.sampled_from(["7", "12", "5", "99"]),
        st.sampled_from(sorted(ITEMS)),
        st.integers(0, 5),
        st.integers(0, len(ACTIONS[name]) - 1),
    )
    events = draw(st.lists(event, max_size=most))
    events += [(*draw(event)[:2], moment, 0) for moment in (0, 3, 4, 5)]
    return raw_rows(name, draw(st.permutations(events)))
