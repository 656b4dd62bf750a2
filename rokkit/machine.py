"""What this machine gives to this process."""

import functools
import os
import warnings


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows have no affinity to ask for


@functools.cache
def compiles() -> bool:
    """Whether numba can compile here. Where it cannot, a warning says so, once per process."""
    try:
        import llvmlite  # noqa: F401
        import numba  # noqa: F401
    except Exception as error:  # one built for another Python or numpy fails in many ways
        warnings.warn(
            f"numba and llvmlite cannot both be imported ({type(error).__name__}: {error}). The "
            "exact search and gradients of id tables are left to torch, resampling to numpy: the "
            "same results, more slowly. For the compiled forms: pip install numba llvmlite, under "
            "a Python that they support.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True
