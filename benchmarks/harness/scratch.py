"""Where a benchmark puts what it makes on the way."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(place: Path | None) -> Iterator[Path]:
    """A folder of its own, gone afterwards, in `place`, which is made; None: the system's."""
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)
