"""rokkit.machine: what is missing is said once, in words that help."""

import sys
from collections.abc import Iterator

import pytest

from rokkit import machine


@pytest.fixture(autouse=True)
def unasked() -> Iterator[None]:
    """As at the start of a process, and so again after the test."""
    machine.compiles.cache_clear()
    yield
    machine.compiles.cache_clear()


@pytest.mark.parametrize("missing", ["numba", "llvmlite"])
def test_a_missing_compiler_is_said_once(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.warns(RuntimeWarning, match=missing) as said:
        assert [machine.compiles() for _ in range(3)] == [False] * 3
    assert len(said) == 1
    assert "pip install numba llvmlite" in str(said[0].message)


def test_a_compiler_that_fails_as_it_is_imported_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Finder:
        """Fails as numba does where it was built for another numpy."""

        def find_spec(self, name: str, *_: object) -> None:
            if name == "numba":
                raise SystemError("initialization of _internal failed")

    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.warns(RuntimeWarning, match="SystemError: initialization of _internal failed"):
        assert not machine.compiles()


@pytest.mark.filterwarnings("error")
def test_where_it_is_there_nothing_is_said() -> None:
    assert machine.compiles()
