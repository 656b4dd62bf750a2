"""Compiled loops of the optimizers of id tables: their cost is that of the rows touched.

Symbols: V rows of a table; d its width; n looked-up ids of a batch, repetitions included; t the
step, from 1.
"""

import math
from typing import Any, no_type_check

import numpy as np
from numpy.typing import NDArray

from rokkit.compiled import compiled, compiled_reordered
from rokkit.prefetch import prefetch

# A moment below this is dropped: its row moved for the last time long ago, and numbers that are
# not normal slow a processor down.
NEGLIGIBLE = np.float32(1e-30)
AHEAD = 8  # rows that are loaded ahead: they lie anywhere in a table


@compiled
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def add_up(
    ids: NDArray[np.int64],
    values: NDArray[np.float32],
    slots: NDArray[np.int32],
    rows: NDArray[np.int32],
    sums: NDArray[np.float32],
) -> int:
    """Sum `values` [n, d] by id into `sums` [≤ n, d], but for id 0, the padding.

    Returns how many ids there are; `rows` names the id of each sum. `slots` [V] is all -1, and is
    so again afterwards.
    """
    count, width = 0, values.shape[1]
    for i in range(len(ids)):
        if ids[i] == 0:
            continue
        slot = slots[ids[i]]
        if slot < 0:
            slots[ids[i]] = count
            rows[count] = ids[i]
            for e in range(width):
                sums[count, e] = values[i, e]
            count += 1
        else:
            for e in range(width):
                sums[slot, e] += values[i, e]
    for i in range(count):
        slots[rows[i]] = -1
    return count


@compiled
@no_type_check
def replay(
    rows: NDArray[Any],
    step: int,
    weight: NDArray[np.float32],
    m: NDArray[np.float32],
    v: NDArray[np.float32],
    last: NDArray[np.int32],
    rates: NDArray[np.float64],
    roots: NDArray[np.float64],
    decays: NDArray[np.float64],
    root_decays: NDArray[np.float64],
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Bring `rows` (repetitions are free) to where dense Adam has them after `step` steps.

    In a step without a gradient Adam decays both moments of a row and still moves it,

        m <- beta1 m,  v <- beta2 v,  w <- w - rates[t] m / (sqrt(v) roots[t] + eps)

    with rates[t] = lr / (1 - beta1^t) and roots[t] = 1 / sqrt(1 - beta2^t). `decays`[k] is
    beta1^k and `root_decays`[k] sqrt(beta2)^k; movements after len(decays) - 1 skipped steps are
    too small to be kept in float32.
    """
    width = weight.shape[1]
    small = np.float32(eps)
    for i in range(len(rows)):
        if i + AHEAD < len(rows) and last[rows[i + AHEAD]] < step:
            for held in (weight, m, v):
                prefetch(held, rows[i + AHEAD])
        row = rows[i]
        since = last[row]
        lag = step - since
        if lag <= 0:
            continue
        last[row] = step
        if since == 0:
            continue  # it never had a gradient: both moments are 0
        for k in range(1, min(lag, len(decays) - 1) + 1):
            a = np.float32(rates[since + k] * decays[k])
            b = np.float32(roots[since + k] * root_decays[k])
            for e in range(width):
                weight[row, e] -= a * m[row, e] / (np.sqrt(v[row, e]) * b + small)
        decay, root = np.float32(betas[0] ** lag), np.float32(betas[1] ** lag)
        for e in range(width):
            left = m[row, e] * decay
            m[row, e] = left if abs(left) > NEGLIGIBLE else np.float32(0)
            v[row, e] *= root


@compiled
@no_type_check
def adam(
    rows: NDArray[np.int32],
    sums: NDArray[np.float32],
    step: int,
    weight: NDArray[np.float32],
    m: NDArray[np.float32],
    v: NDArray[np.float32],
    last: NDArray[np.int32],
    rate: float,
    root: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Adam's step number `step` of `rows`, each with its gradient; they stand at step - 1."""
    a, b = np.float32(rate), np.float32(root)
    beta1, beta2, small = np.float32(betas[0]), np.float32(betas[1]), np.float32(eps)
    rest1, rest2 = np.float32(1 - betas[0]), np.float32(1 - betas[1])
    for i in range(len(rows)):
        if i + AHEAD < len(rows):
            for held in (weight, m, v):
                prefetch(held, rows[i + AHEAD])
        row = rows[i]
        last[row] = step
        for e in range(weight.shape[1]):
            g = sums[i, e]
            m[row, e] = beta1 * m[row, e] + rest1 * g
            v[row, e] = beta2 * v[row, e] + rest2 * g * g
            weight[row, e] -= a * m[row, e] / (np.sqrt(v[row, e]) * b + small)


@compiled_reordered
@no_type_check
def adagrad(
    rows: NDArray[np.int32],
    sums: NDArray[np.float32],
    weight: NDArray[np.float32],
    total: NDArray[np.float32],
    rate: float,
    eps: float,
) -> None:
    """G <- G + mean of squares of the row's gradient; w <- w - rate g / (sqrt(G) + eps)."""
    width = weight.shape[1]
    for i in range(len(rows)):
        if i + AHEAD < len(rows):
            prefetch(weight, rows[i + AHEAD])
        row = rows[i]
        squares = 0.0
        for e in range(width):
            squares += np.float64(sums[i, e]) * sums[i, e]
        total[row] += np.float32(squares / width)
        a = np.float32(rate / (math.sqrt(total[row]) + eps))
        for e in range(width):
            weight[row, e] -= a * sums[i, e]
