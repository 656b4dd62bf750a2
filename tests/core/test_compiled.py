"""What numba compiles."""

from typing import Any

import pytest

from rokkit import compiled


def test_compiles_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    # numba refuses `cache=True` for a read-only package and a read-only home.
    njit, asked = compiled.njit, []

    def read_only(cache: bool = False, **options: bool) -> Any:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    def double(value: int) -> int:
        return 2 * value

    monkeypatch.setattr(compiled, "njit", read_only)
    assert compiled.compiled(double)(4) == 8
    assert asked == [True, False]
