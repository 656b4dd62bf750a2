"""Histories: what each user did in the pool."""

import numpy as np
from numpy.typing import NDArray


def pool_histories(
    user: NDArray[np.int64], n_users: int, keep: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(offsets [U + 1], rows [M]) of the rows with `keep`, grouped by user.

    Rows lie in time order, so each user's are oldest first, ties in the order of the log (RIM,
    `sync_seq_dict`). `keep` marks pool positives: histories hold nothing of the target periods.
    """
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(user[rows], kind="stable")]
    offsets = np.zeros(n_users + 1, np.int64)
    np.cumsum(np.bincount(user[rows], minlength=n_users), out=offsets[1:])
    return offsets, rows
