"""A twin: a made log in the raw format of tmall, taobao or alipay, written when it is asked for."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rokkit.config import build, require
from rokkit.data.log import EventLog
from rokkit.data.sources.alipay import Alipay
from rokkit.data.sources.base import Source, SourceOptions, later, register_source
from rokkit.data.sources.taobao import Taobao
from rokkit.data.sources.tianchi import Tianchi
from rokkit.data.sources.tmall import Tmall
from rokkit.data.twin import FormatName, Structure, TwinOptions, write_twin
from rokkit.errors import ArtefactError, ConfigError
from rokkit.files import made_once
from rokkit.paths import data_root, shown

logger = logging.getLogger(__name__)

READERS: dict[FormatName, type[Tianchi]] = {"tmall": Tmall, "taobao": Taobao, "alipay": Alipay}
# Options that the reader of the format takes as they are.
HANDED_ON = (
    *(f.name for f in dataclasses.fields(SourceOptions)),
    "protocol",
    "clicks_only",
    "history_negative_share",
    "idcat_negatives",  # where the format has it
)


@dataclass(frozen=True, kw_only=True)
class TwinSourceOptions(Structure, SourceOptions):
    """Which twin, what is planted in it (`Structure`), and how samples are made of it."""

    format: FormatName = "tmall"  # raw format, and whose counts and days are imitated
    rows: int = 1_000_000  # lines of the log
    twin_seed: int = 0  # of the log; `seed` is of what is drawn from it
    protocol: Literal["rim", "ubr"] = "rim"
    clicks_only: bool = False  # only clicks are events, and the action is no field
    history_negative_share: float | None = None  # of target negatives; None: the protocol's
    idcat_negatives: bool = later(False, before=False)  # of tmall and alipay: see there

    def __post_init__(self) -> None:
        SourceOptions.__post_init__(self)
        self.twin()
        share = self.history_negative_share
        if share is not None:
            require(0 <= share <= 1, "history_negative_share", share, "a probability from 0 to 1")
        if self.idcat_negatives and "idcat_negatives" not in _handed_on(self.format):
            raise ConfigError(
                f"idcat_negatives is on and the format is {self.format!r}, whose items have no "
                "other fields to keep. Expected the format tmall or alipay, or no such negatives."
            )

    def twin(self) -> TwinOptions:
        """The generator's knobs; ConfigError for a value outside its range."""
        planted = {f.name: getattr(self, f.name) for f in dataclasses.fields(Structure)}
        return TwinOptions(format=self.format, rows=self.rows, seed=self.twin_seed, **planted)


@register_source("twin", title="A made log in the raw format of tmall, taobao or alipay")
class Twin(Source):
    """The raw files of a twin, made once, then read as the real ones are.

    They lie under `data_root()/raw/twin-<format>-<rows>-<hash of all knobs>`. What they are good
    for: tests and measurements of scale. Planted structure (docs/twin.md) makes systems differ
    roughly as they do on real logs; it cannot show which is better on those.
    """

    Options = TwinSourceOptions
    raw = "made"

    def files(self, options: TwinSourceOptions) -> Mapping[str, Path]:
        """See `Source.files`; writes the twin first if it is not there.

        ArtefactError if its folder is there but incomplete.
        """
        folder = _written(options.twin())
        return READERS[options.format]().files(_reading(options, folder))

    def read(self, options: TwinSourceOptions) -> EventLog:
        """See `Source.read`."""
        folder = _written(options.twin())
        log = READERS[options.format]().read(_reading(options, folder))
        origin = dataclasses.replace(
            log.origin,
            licence="none needed: made by rokkit",
            licence_note=f"A made log in the raw format of {options.format}; nobody's data.",
            notes=("Made, not observed: it is for tests and for scale, not for findings.",),
        )
        return dataclasses.replace(log, origin=origin)


def _written(twin: TwinOptions) -> Path:
    """The folder of the twin; one process writes it, others wait."""
    folder = data_root() / "raw" / f"twin-{twin.format}-{twin.rows}-{twin.digest[:12]}"

    def make() -> None:
        logger.info("writing a twin of %s rows into %s", f"{twin.rows:,}", shown(folder))
        write_twin(twin, folder)

    data_root().mkdir(parents=True, exist_ok=True)
    made_once(folder, make)
    if not (folder / "twin.json").is_file():
        raise ArtefactError(f"{shown(folder)} is incomplete. Remove it; it is then made again.")
    return folder


def _handed_on(form: FormatName) -> list[str]:
    """Those of HANDED_ON that the reader of the format has."""
    known = {f.name for f in dataclasses.fields(READERS[form].Options)}
    return [name for name in HANDED_ON if name in known]


def _reading(options: TwinSourceOptions, folder: Path) -> Any:
    """The options of the format's own reader."""
    reader = READERS[options.format]
    values = {name: getattr(options, name) for name in _handed_on(options.format)}
    return build(reader.Options, {**values, "path": str(folder)}, where=f"twin of {options.format}")
