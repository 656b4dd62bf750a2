"""The errors a user can act on.

Every message names the thing, the value, what was expected and the remedy.
"""

import difflib
from collections.abc import Iterable


class RokkitError(ValueError):
    """Bad input or a broken artefact; the message says what to do about it."""


class DataError(RokkitError):
    """A log, a data option or a samples folder that cannot be used."""


class ConfigError(RokkitError):
    """A setting that does not exist, or whose value is outside its range."""


class ArtefactError(RokkitError):
    """A file that rokkit wrote and that is now missing, truncated or not what it should be."""


class TrainingError(RokkitError):
    """A training that cannot go on, such as one whose loss is no longer a number."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Message for a name that is not among `known`, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{kind} {name!r} is not known.{hint} Known: {', '.join(names) or 'none'}."
