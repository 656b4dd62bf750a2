"""Compiled loops over behaviours that lie one after the other.

Symbols: B rows; n behaviours, `row` [n] whose each is; D width of one.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def add_weighted(weights, k, row, sums):
    """sums[row[i]] += weights[i] k[i], of k [n, D] and sums [B, D]."""
    for i in range(len(row)):
        b, weight = row[i], weights[i]
        for e in range(k.shape[1]):
            sums[b, e] += weight * k[i, e]


@compiled_reordered
@no_type_check
def add_weighted_backward(of_sums, weights, k, row, of_weights, of_k):
    """Gradients by the weights [n] and by k [n, D], given those by the sums [B, D]."""
    for i in range(len(row)):
        b, weight = row[i], weights[i]
        along = np.float32(0)
        for e in range(k.shape[1]):
            along += of_sums[b, e] * k[i, e]
            of_k[i, e] = weight * of_sums[b, e]
        of_weights[i] = along


@compiled_reordered
@no_type_check
def dots(q, k, row, found):
    """found[i] = ⟨q[row[i]], k[i]⟩, of q [B, D] and k [n, D]."""
    for i in range(len(row)):
        b, along = row[i], np.float32(0)
        for e in range(k.shape[1]):
            along += q[b, e] * k[i, e]
        found[i] = along


@compiled_reordered
@no_type_check
def spread(weights, q, row, of_k):
    """of_k[i] = weights[i] q[row[i]], of q [B, D] and of_k [n, D]."""
    for i in range(len(row)):
        b, weight = row[i], weights[i]
        for e in range(q.shape[1]):
            of_k[i, e] = weight * q[b, e]
