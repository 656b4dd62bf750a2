"""What a twin can be asked for: format, size, seed, structure, quirks."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field

from rokkit.config import require
from rokkit.data.twin.formats import FORMATS, FormatName
from rokkit.data.twin.structure import Structure
from rokkit.errors import ConfigError, unknown_name

VERSION = 1  # raise it when equal options would give other files


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """Ways in which copies of the real files differ; a reader has to survive each. All off."""

    header: bool | None = None  # name the columns or not; None: as the real file
    zero_padded: bool = False  # tmall: 11 May is "0511", not "511"
    index_column: bool = False  # a leading column that counts rows, as pandas writes it
    float_brands: bool = False  # tmall: brand ids such as "2661.0"
    crlf: bool = False  # lines end with CR LF
    bom: bool = False  # a UTF-8 byte order mark at the start
    truncated: bool = False  # the last line of the log breaks off in its middle
    shuffled: bool = False  # rows without order, within blocks of about 131,072 rows
    archive: bool = False  # one zip, as it is downloaded, in place of the files


@dataclass(frozen=True, kw_only=True)
class TwinOptions(Structure):
    """All knobs of a twin. Raises ConfigError for a value outside its range."""

    format: FormatName
    rows: int = 1_000_000  # lines of the log, its header apart
    seed: int = 0
    quirks: Quirks = field(default_factory=Quirks)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format not in FORMATS:
            raise ConfigError(unknown_name("format", self.format, FORMATS))
        require(self.rows >= 1000, "rows", self.rows, "at least 1,000")
        require(0 <= self.seed < 2**32, "seed", self.seed, "0 to 4294967295")
        if self.format != "tmall":
            for name in ("zero_padded", "float_brands"):
                value = getattr(self.quirks, name)
                require(not value, f"quirks.{name}", value, "False: only tmall has such a column")

    @property
    def digest(self) -> str:
        """Hex sha256 of all knobs and of the generator's version."""
        text = json.dumps({"version": VERSION, **dataclasses.asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
