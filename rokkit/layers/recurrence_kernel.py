"""Compiled loops of gated recurrences: a row's state stays in the cache through all of its steps.

    u = σ(±(x_u + U_u h + b_u))   r = σ(x_r + U_r h + b_r)   c = tanh(x_c + r ∘ (U_c h + b_c))
    h ← h + a u ∘ (c − h)

x_t [3H] is what enters a step, a_t its weight, U and b are of the state. `torch_order` says that
gates stand as in torch's GRU, r before the share that stays, 1 − u, whence the minus sign; else u
stands before r. Steps from a row's `count` on are padding: they leave the state as it is.

Symbols: B batch; T steps; H of a state.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered

LOG2_E, LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
HIGHEST = np.float32(87)  # e to this is a float32
ONE, HALF = np.float32(1), np.float32(0.5)
# 1/k! for k = 2 … 6; what is left out is below the rounding where |r| ≤ ln 2 / 2.
C2, C3, C4, C5, C6 = (np.float32(1 / k) for k in (2, 6, 24, 120, 720))


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def exponentials(x, powers, n):
    """x[i] ← e^x[i] for i < n, eight at a time where the processor can. `powers` [n] is int32."""
    scales = powers.view(np.float32)
    for i in range(n):
        bounded = min(max(x[i], -HIGHEST), HIGHEST)
        k = np.floor(bounded * LOG2_E + HALF)
        x[i] = bounded - k * LN_2
        powers[i] = (np.int32(k) + np.int32(127)) << np.int32(23)  # bits of 2^k
    for i in range(n):
        r = x[i]
        x[i] = scales[i] * (ONE + r * (ONE + r * (C2 + r * (C3 + r * (C4 + r * (C5 + r * C6))))))


@compiled_reordered
@no_type_check
def run(entering, weights, staying, bias, counts, torch_order, states, gates):
    """states [B, T, H] from entering [B, T, 3H], weights [B, T], staying = Uᵀ [H, 3H], bias [3H].

    `gates` [B, T, 4H] takes u, r, c and U_c h + b_c, unless it is empty.
    """
    n, steps, h_dim = states.shape
    at_u, at_r, at_c = (h_dim, 0, 2 * h_dim) if torch_order else (0, h_dim, 2 * h_dim)
    sign = ONE if torch_order else -ONE  # of the exponent in u
    kept = gates.shape[0] > 0
    h, pre = np.empty(h_dim, np.float32), np.empty(3 * h_dim, np.float32)
    e, powers = np.empty(2 * h_dim, np.float32), np.empty(2 * h_dim, np.int32)
    for b in range(n):
        h[:] = 0
        for t in range(counts[b]):
            for j in range(3 * h_dim):
                pre[j] = bias[j]
            _add_products(h, staying, pre)
            for i in range(h_dim):
                e[i] = sign * (entering[b, t, at_u + i] + pre[at_u + i])
                e[h_dim + i] = -(entering[b, t, at_r + i] + pre[at_r + i])
            exponentials(e, powers, 2 * h_dim)
            for i in range(2 * h_dim):
                e[i] = ONE / (ONE + e[i])
            if kept:
                for i in range(h_dim):
                    gates[b, t, i] = e[i]
                    gates[b, t, h_dim + i] = e[h_dim + i]
                    gates[b, t, 3 * h_dim + i] = pre[at_c + i]
            for i in range(h_dim):
                pre[i] = e[i]  # u
            for i in range(h_dim):
                held = pre[at_c + i]
                e[i] = np.float32(2) * (entering[b, t, at_c + i] + e[h_dim + i] * held)
            exponentials(e, powers, h_dim)
            a = weights[b, t]
            for i in range(h_dim):
                c = ONE - np.float32(2) / (ONE + e[i])  # tanh
                e[i] = c
                h[i] += a * pre[i] * (c - h[i])
                states[b, t, i] = h[i]
            if kept:
                for i in range(h_dim):
                    gates[b, t, 2 * h_dim + i] = e[i]
        for t in range(counts[b], steps):
            for i in range(h_dim):
                states[b, t, i] = h[i]


@compiled_reordered
@no_type_check
def run_backward(
    of_states,
    weights,
    staying,
    counts,
    torch_order,
    states,
    gates,
    of_entering,
    of_held,
    of_weights,
):
    """Gradients by what enters, by U_c h + b_c [B, T, H] and by the weights [B, T].

    Those by U_u h + b_u and U_r h + b_r are those by x_u and x_r.

    `staying` is U [3H, H] here. `states` and `gates` are those of `run`.
    """
    n, steps, h_dim = states.shape
    at_u, at_r, at_c = (h_dim, 0, 2 * h_dim) if torch_order else (0, h_dim, 2 * h_dim)
    sign = -ONE if torch_order else ONE
    of_h, of_pre = np.empty(h_dim, np.float32), np.empty(3 * h_dim, np.float32)
    g, moved, u = np.empty_like(of_h), np.empty_like(of_h), np.empty_like(of_h)
    of_u, of_r, of_c = np.empty_like(of_h), np.empty_like(of_h), np.empty_like(of_h)
    for b in range(n):
        of_h[:] = 0
        for t in range(steps - 1, counts[b] - 1, -1):  # padding repeats the last state
            for i in range(h_dim):
                of_h[i] += of_states[b, t, i]
            of_weights[b, t] = 0
            for j in range(3 * h_dim):
                of_entering[b, t, j] = 0
            for i in range(h_dim):
                of_held[b, t, i] = 0
        for t in range(counts[b] - 1, -1, -1):
            a = weights[b, t]
            for i in range(h_dim):
                g[i] = of_h[i] + of_states[b, t, i]
                moved[i] = gates[b, t, 2 * h_dim + i]
            if t > 0:
                for i in range(h_dim):
                    moved[i] -= states[b, t - 1, i]
            along = np.float32(0)
            for i in range(h_dim):
                moved[i] *= g[i]
                u[i] = gates[b, t, i]
                along += moved[i] * u[i]
            for i in range(h_dim):
                of_u[i] = sign * moved[i] * a * u[i] * (ONE - u[i])
                of_h[i] = g[i] * (ONE - a * u[i])
            for i in range(h_dim):
                c = gates[b, t, 2 * h_dim + i]
                of_c[i] = g[i] * a * u[i] * (ONE - c * c)
            for i in range(h_dim):
                r = gates[b, t, h_dim + i]
                of_r[i] = of_c[i] * gates[b, t, 3 * h_dim + i] * r * (ONE - r)
                g[i] = of_c[i] * r
            for i in range(h_dim):
                of_entering[b, t, at_u + i] = of_pre[at_u + i] = of_u[i]
            for i in range(h_dim):
                of_entering[b, t, at_r + i] = of_pre[at_r + i] = of_r[i]
            for i in range(h_dim):
                of_entering[b, t, at_c + i] = of_c[i]
            for i in range(h_dim):
                of_held[b, t, i] = of_pre[at_c + i] = g[i]
            of_weights[b, t] = along
            _add_products(of_pre, staying, of_h)


@compiled_reordered
@no_type_check
def _add_products(x, matrix, total):
    """total [M] += x [N] @ matrix [N, M], four rows at a time: sums are read and written less."""
    n, m = matrix.shape
    whole = n - n % 4
    for k in range(0, whole, 4):
        p, q, r, s = x[k], x[k + 1], x[k + 2], x[k + 3]
        for j in range(m):
            total[j] += (p * matrix[k, j] + q * matrix[k + 1, j]) + (
                r * matrix[k + 2, j] + s * matrix[k + 3, j]
            )
    for k in range(whole, n):
        for j in range(m):
            total[j] += x[k] * matrix[k, j]
