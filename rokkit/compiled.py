"""Loops that numba compiles."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

# What a dot product needs to use a processor's vectors: sums in another order, products and sums
# in one. Results then depend on the processor in their last bits, as those of torch do.
REORDERED = frozenset({"reassoc", "contract"})


def compiled(function: F) -> F:
    """`function`, compiled at its first call and cached on disk where a folder can be written.

    It runs without the interpreter lock, so that Python threads can work side by side. The cache
    looks at the file of the outermost function only: what calls each other belongs in one file.
    """
    return _compiled(function, fastmath=False)


def compiled_reordered(function: F) -> F:
    """The same, where sums of floats may be taken in any order."""
    return _compiled(function, fastmath=set(REORDERED))


def _compiled(function: F, **settings: Any) -> F:
    settings |= {"nogil": True, "boundscheck": False, "error_model": "numpy"}
    try:
        done: F = njit(cache=True, **settings)(function)
    except RuntimeError:  # neither the package folder nor the user's cache folder can be written
        done = njit(**settings)(function)
    return done
