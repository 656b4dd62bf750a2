"""The two forms of the exact search, one after the other."""

from collections.abc import Iterator

import pytest

from rokkit.retrieval import kernel, loops, ragged


# For a module, since hypothesis runs many examples within one function.
@pytest.fixture(scope="module", params=[kernel, ragged], ids=["compiled", "torch"])
def each_form(request: pytest.FixtureRequest) -> Iterator[loops.Loops]:
    """The form that every index takes meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "chosen", lambda: request.param)
        yield request.param
