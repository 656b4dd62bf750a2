"""The two engines of the exact search, one after the other."""

from collections.abc import Iterator

import pytest

from rokkit.retrieval import engine, kernel, ragged


# For a module, since hypothesis runs many examples within one function.
@pytest.fixture(scope="module", params=[kernel, ragged], ids=["compiled", "torch"])
def each_engine(request: pytest.FixtureRequest) -> Iterator[engine.Engine]:
    """The engine that every index uses meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "chosen", lambda: request.param)
        yield request.param
