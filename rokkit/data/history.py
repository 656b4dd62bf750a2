"""Histories: what each user did in the pool."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pool_histories(
    user: NDArray[np.signedinteger[Any]], n_users: int, keep: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.signedinteger[Any]]]:
    """(offsets [U + 1], rows [M]) of the rows with `keep`, grouped by user.

    Rows lie in time order, so each user's are oldest first, ties in the order of the log (RIM,
    `sync_seq_dict`). `keep` marks pool positives: histories hold nothing of the target periods.
    """
    rows = np.flatnonzero(keep)
    if len(keep) <= np.iinfo(np.int32).max:
        rows = rows.astype(np.int32)  # half the memory
    owner = user[rows]
    offsets = np.zeros(n_users + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=n_users), out=offsets[1:])
    return offsets, rows[np.argsort(owner, kind="stable")]
