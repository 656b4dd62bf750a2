"""Lines as bytes, a block at a time and without a Python object per line."""

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

from rokkit.data.twin.catalogue import Catalogue
from rokkit.data.twin.draws import Ints, Scatter
from rokkit.data.twin.formats import BY_NAME
from rokkit.data.twin.lines import Lines
from rokkit.data.twin.options import Quirks, TwinOptions
from rokkit.data.twin.sizes import Sizes

BATCH = 8192  # lines that pyarrow formats at a time


class RawIds:
    """From a twin's indices to the ids that stand in its files."""

    def __init__(self, options: TwinOptions, sizes: Sizes) -> None:
        real = BY_NAME[options.format]
        self.user = _scatter(sizes.users, real.users, real.user_ids)
        self.item = _scatter(sizes.items, real.items, real.item_ids)
        self.category = _scatter(sizes.categories, real.categories, real.category_ids)
        self.seller = _scatter(max(sizes.sellers, 1), real.sellers, real.seller_ids)
        self.brand = _scatter(max(sizes.brands, 1), real.brands, real.brand_ids)


def _scatter(n: int, real_count: int, real_most: int) -> Scatter:
    """A raw id range that is as much wider than the count as the real one."""
    return Scatter(n, n * real_most // max(real_count, 1))


def log_columns(
    options: TwinOptions, catalogue: Catalogue, ids: RawIds, lines: Lines, first_user: int
) -> list[pa.Array]:
    """The columns of the log's lines, in file order."""
    real = BY_NAME[options.format]
    user = pa.array(ids.user(lines.user + first_user))
    item = pa.array(ids.item(lines.item))
    category = pa.array(ids.category(lines.category))
    action = _look_up([raw for raw, _ in real.actions], lines.action)
    if options.format == "taobao":
        return [user, item, category, action, pa.array(lines.time)]
    seller = pa.array(ids.seller(catalogue.seller[lines.shelf]))
    if options.format == "alipay":
        return [user, seller, item, category, action, pa.array(lines.time)]
    brand = ids.brand(catalogue.brand[lines.shelf])
    if options.quirks.float_brands:
        texts = [f"{number}.0" for number in range(ids.brand.most + 1)]
        brands = _look_up(texts, brand, missing=~lines.branded)
    else:
        brands = pa.array(brand, mask=~lines.branded)
    time = pa.array(lines.time)
    if options.quirks.zero_padded:
        time = _look_up([f"{code:04}" for code in range(1300)], lines.time)
    return [user, item, category, seller, brands, time, action]


def to_bytes(columns: Sequence[pa.Array], quirks: Quirks, first_row: int) -> bytes:
    """The columns as CSV without a header; `first_row` numbers the first line."""
    if quirks.index_column:
        columns = [pa.array(np.arange(first_row, first_row + len(columns[0]))), *columns]
    table = pa.table(list(columns), names=[str(i) for i in range(len(columns))])
    # Nothing here needs quotes; pyarrow would put them around every text.
    options = pyarrow.csv.WriteOptions(include_header=False, batch_size=BATCH, quoting_style="none")
    stream = io.BytesIO()
    pyarrow.csv.write_csv(table, stream, options)
    text = stream.getvalue()
    return text.replace(b"\n", b"\r\n") if quirks.crlf else text


def header(columns: Sequence[str], quirks: Quirks, named: bool) -> bytes:
    """What stands before the first line."""
    line = ",".join([""] * quirks.index_column + list(columns)) + ("\r\n" if quirks.crlf else "\n")
    return b"\xef\xbb\xbf" * quirks.bom + line.encode() * named


def broken_off(text: bytes) -> bytes:
    """`text` without the second half of its last line."""
    last = text.rstrip(b"\r\n").rsplit(b"\n", 1)[-1]
    return text[: text.rindex(last) + len(last) // 2]


def _look_up(texts: Sequence[str], index: Ints, missing: "np.ndarray | None" = None) -> pa.Array:
    return pa.array(texts).take(pa.array(index, mask=missing))
