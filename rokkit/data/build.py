"""Building samples once and opening them ever after."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rokkit.config import build
from rokkit.data import sources
from rokkit.data.assemble import assemble
from rokkit.data.card import data_card
from rokkit.data.causal import causal
from rokkit.data.digests import sha256
from rokkit.data.invariants import check
from rokkit.data.raw_values import write_vocabularies
from rokkit.data.samples import Samples, read_samples, write_samples
from rokkit.data.sources.base import Source, SourceOptions, is_as_before, is_location
from rokkit.errors import ArtefactError
from rokkit.files import folder_aside, made_once, save_array
from rokkit.paths import data_root, shown

# Raise it when the same raw files and options would give other samples or other files.
FORMAT = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Samples that may not exist yet: everything that decides what they will be."""

    name: str
    source: Source
    options: SourceOptions
    source_files: dict[str, str]  # name -> sha256
    fingerprint: str
    folder: Path

    @property
    def resolved(self) -> dict[str, Any]:
        """The options that shape the samples; places of files do not, their content does."""
        return _resolved(self.options)


def load(name: str, **options: Any) -> Samples:
    """The samples of the data set `name`, built first if they do not exist yet.

    They lie under `data_root()/samples/<name>-<fingerprint>`. ConfigError for an unknown source or
    option (with the nearest name) or a value out of range; DataError if the raw files are missing
    or unfit; ArtefactError if existing samples are damaged.
    """
    return open_or_build(plan(name, options))


def plan(name: str, options: Mapping[str, Any] | None = None) -> Plan:
    """What `load` would open or build, without doing it. Raises as `load` does."""
    source = sources.REGISTRY.get(name)()
    settings = build(source.Options, options or {}, where=f"data set {name!r}")
    digests = {label: sha256(path) for label, path in sorted(source.files(settings).items())}
    fingerprint = fingerprint_of(name, source.version, _resolved(settings), digests)
    folder = data_root() / "samples" / f"{name}-{fingerprint[:12]}"
    return Plan(name, source, settings, digests, fingerprint, folder)


def fingerprint_of(
    name: str, version: int, options: Mapping[str, Any], digests: Mapping[str, str]
) -> str:
    """Hex sha256 of everything the samples depend on."""
    value = {
        "format": FORMAT,
        "source": name,
        "version": version,
        "options": dict(options),
        "files": dict(digests),
    }
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def open_or_build(wanted: Plan) -> Samples:
    """The planned samples; one process builds, others wait for it."""
    data_root().mkdir(parents=True, exist_ok=True)
    made_once(wanted.folder, lambda: _build(wanted))
    samples = read_samples(wanted.folder)
    if samples.fingerprint != wanted.fingerprint:
        raise ArtefactError(
            f"{shown(wanted.folder)} was made from something else (fingerprint "
            f"{samples.fingerprint[:12]}). Remove the folder and build again."
        )
    return samples


def _build(wanted: Plan) -> None:
    logger.info("building the samples of %s in %s", wanted.name, shown(wanted.folder))
    log = wanted.source.read(wanted.options)
    with folder_aside(wanted.folder) as draft:
        logger.info("making samples of %s rows", f"{len(log.frame):,}")
        kept_in_memory = wanted.options.causal  # the arrays that are written are others then
        made = assemble(wanted.name, log, wanted.options, None if kept_in_memory else draft)
        logger.info("checking %s samples", f"{sum(map(len, made.parts.values())):,}")
        check(made)
        if wanted.options.causal:
            made = causal(made)
        card = data_card(
            wanted.name, log, made, options=wanted.resolved, source_files=wanted.source_files
        )
        write_vocabularies(draft, made.vocabularies)
        save_array(draft / "item_tuples.npy", made.item_tuples)
        write_samples(draft, made.schema, made.parts, made.history, card, wanted.fingerprint)
    logger.info("licence of %s: %s", wanted.name, log.origin.licence_note)


def _resolved(options: SourceOptions) -> dict[str, Any]:
    return {
        f.name: value
        for f in dataclasses.fields(options)
        if not is_location(f) and not is_as_before(f, value := getattr(options, f.name))
    }
