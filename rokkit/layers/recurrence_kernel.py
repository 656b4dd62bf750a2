"""Compiled loops of gated recurrences: ROWS rows side by side, whose states stay in the cache.

    u = σ(±(x_u + U_u h + b_u))   r = σ(x_r + U_r h + b_r)   c = tanh(x_c + r ∘ (U_c h + b_c))
    h ← h + a u ∘ (c − h)

x [3H] is what enters a step, a its weight, U and b are of the state. `torch_order` says that gates
stand as in torch's GRU, r before the share that stays, 1 − u, whence the minus sign; else u stands
before r.

Where the steps of row b lie is said by `first`, `count` and `end` [B]: the first of `count[b]` at
`first[b]`, and padding from the last one to `end[b]`, which leaves the state as it is. `order` [B]
is that of the rows: those of similar count in turn waste least.

Vectors lie in H' = ⌈H / LANES⌉ strips of LANES numbers, zeros where H does not fill them; within,
each strip for ROWS rows in turn: [H', ROWS, LANES]. So one look at a matrix serves ROWS
rows, and what goes number by number is one long loop.

Symbols: B rows; m places, padding included; H of a state; S = H' · ROWS · LANES numbers.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered

ROWS, LANES = 4, 32  # `_add_products` is written out for 4 rows
SPAN = ROWS * LANES
LOG2_E, LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
HIGHEST = np.float32(87)  # e to this is a float32
ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
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
def run(
    entering, weights, matrix, bias, first, count, end, order, torch_order, states, last, gates
):
    """states [m, H', LANES] and the last ones [B, H', LANES], from entering [m, 3, H', LANES].

    `weights` [m] are all 1 if empty. `matrix` is U in strips [3, H', H' LANES, LANES], `bias` b
    [3, H', LANES]. `gates` takes both gates in their order, c and U_c h + b_c, 4S numbers for each
    step of each ROWS rows in turn, unless it is empty.
    """
    strips = states.shape[1]
    size, deep = strips * SPAN, strips * LANES
    sign_0, sign_1 = (-ONE, ONE) if torch_order else (-ONE, -ONE)
    all_h, all_a, all_g, all_bias = (
        _local(strips),
        _local(strips),
        _local(4 * strips),
        _local(3 * strips),
    )
    h, a, g, powers = all_h.ravel(), all_a.ravel(), all_g.ravel(), np.empty(2 * size, np.int32)
    e, e_0, e_1, c, held = (
        g[: 2 * size],
        g[:size],
        g[size : 2 * size],
        g[2 * size : 3 * size],
        g[3 * size :],
    )
    u, reset = (e_1, e_0) if torch_order else (e_0, e_1)
    for gate in range(3):
        for s in range(strips):
            for r in range(ROWS):
                for j in range(LANES):
                    all_bias[gate * strips + s, r, j] = bias[gate, s, j]
    bias_0, bias_1, bias_c = (
        all_bias.ravel()[:size],
        all_bias.ravel()[size : 2 * size],
        all_bias.ravel()[2 * size :],
    )
    of_gates, of_held = matrix[: 2 * strips * deep * LANES], matrix[2 * strips * deep * LANES :]
    kept, weighed = 0, len(weights) > 0
    for i in range(0, len(order), ROWS):
        rows = min(ROWS, len(order) - i)
        h[:] = 0
        for t in range(_most(count, order, i, rows)):
            for r in range(ROWS):
                live = r < rows and t < count[order[i + r]]
                if live:
                    at = first[order[i + r]] + t
                    for gate in range(3):
                        for s in range(strips):
                            _copy(entering[at, gate, s], all_g[gate * strips + s, r])
                else:
                    for s in range(3 * strips):
                        _fill(ZERO, all_g[s, r])
                share = ZERO if not live else weights[at] if weighed else ONE
                for s in range(strips):
                    _fill(share, all_a[s, r])
            for j in range(size):
                held[j] = bias_c[j]
            _add_products(h, of_gates, e, deep, 2 * strips)
            _add_products(h, of_held, held, deep, strips)
            for j in range(size):
                e_0[j] = sign_0 * (e_0[j] + bias_0[j])
            for j in range(size):
                e_1[j] = sign_1 * (e_1[j] + bias_1[j])
            exponentials(e, powers, 2 * size)
            for j in range(2 * size):
                e[j] = ONE / (ONE + e[j])
            for j in range(size):
                c[j] = TWO * (c[j] + reset[j] * held[j])
            exponentials(c, powers, size)
            for j in range(size):
                c[j] = ONE - TWO / (ONE + c[j])  # tanh
            for j in range(size):
                h[j] += a[j] * u[j] * (c[j] - h[j])
            if len(gates) > 0:
                keep = gates[kept : kept + 4 * size]
                for j in range(4 * size):
                    keep[j] = g[j]
                kept += 4 * size
            for r in range(rows):
                if t < count[order[i + r]]:
                    at = first[order[i + r]] + t
                    for s in range(strips):
                        _copy(all_h[s, r], states[at, s])
        for r in range(rows):
            b = order[i + r]
            last[b] = all_h[:, r]
            for at in range(first[b] + count[b], end[b]):
                states[at] = last[b]


@compiled_reordered
@no_type_check
def run_backward(
    of_states,
    of_last,
    weights,
    matrix,
    first,
    count,
    end,
    order,
    torch_order,
    states,
    gates,
    of_pre,
    before,
    of_bias,
    of_weights,
):
    """Gradients `of_pre` [m, 4, H', LANES] by x_c, both gates' sums in order and U_c h + b_c.

    Those of the states or of the last ones are empty if there are none; `matrix` is Uᵀ in strips
    [3, H', H' LANES, LANES] here, `states` and `gates` are those of `run`. `before`, as `states`,
    takes h before each step, `of_bias` [4S] is added what is in `of_pre`, for each of ROWS rows
    apart, and `of_weights` [m] takes what belongs there, unless it is empty.
    """
    strips = states.shape[1]
    size, deep = strips * SPAN, strips * LANES
    sign = -ONE if torch_order else ONE
    all_h, all_a, all_prev, all_g = _local(strips), _local(strips), _local(strips), _local(strips)
    all_moved, all_pre, kept = _local(strips), _local(4 * strips), _local(4 * strips).ravel()
    of_h, a, prev, g, moved, pre = (
        all_h.ravel(),
        all_a.ravel(),
        all_prev.ravel(),
        all_g.ravel(),
        all_moved.ravel(),
        all_pre.ravel(),
    )
    e_0, e_1, c, held = (
        kept[:size],
        kept[size : 2 * size],
        kept[2 * size : 3 * size],
        kept[3 * size :],
    )
    u, reset = (e_1, e_0) if torch_order else (e_0, e_1)
    pre_c, pre_0, pre_1, pre_held = (
        pre[:size],
        pre[size : 2 * size],
        pre[2 * size : 3 * size],
        pre[3 * size :],
    )
    pre_u, pre_r = (pre_1, pre_0) if torch_order else (pre_0, pre_1)
    third = strips * deep * LANES
    by_0, by_1, by_held = matrix[:third], matrix[third : 2 * third], matrix[2 * third :]
    stop, weighed = len(gates), len(weights) > 0
    of_all, of_ends = len(of_states) > 0, len(of_last) > 0
    for b in range(len(order)):  # in the order of memory, which can be foreseen
        for at in range(first[b], end[b]):
            for s in range(strips):
                if first[b] < at < first[b] + count[b]:
                    _copy(states[at - 1, s], before[at, s])
                else:
                    _fill(ZERO, before[at, s])
    beyond = len(order) + -len(order) % ROWS
    for i in range(beyond - ROWS, -1, -ROWS):
        rows = min(ROWS, len(order) - i)
        of_h[:] = 0
        for r in range(rows):
            b = order[i + r]
            if of_ends:
                all_h[:, r] = of_last[b]
            for at in range(first[b] + count[b], end[b]):  # padding repeats the last state
                if of_all:
                    all_h[:, r] += of_states[at]
                of_pre[at] = 0
                if weighed:
                    of_weights[at] = 0
        for t in range(_most(count, order, i, rows) - 1, -1, -1):
            stop -= 4 * size
            keep = gates[stop : stop + 4 * size]
            for j in range(4 * size):
                kept[j] = keep[j]
            for j in range(size):
                g[j] = of_h[j]
            for r in range(ROWS):
                live = r < rows and t < count[order[i + r]]
                at = first[order[i + r]] + t if live else 0
                for s in range(strips):
                    if live:
                        _copy(before[at, s], all_prev[s, r])
                    else:
                        _fill(ZERO, all_prev[s, r])
                    if live and of_all:
                        _add(of_states[at, s], all_g[s, r])
                share = ZERO if not live else weights[at] if weighed else ONE
                for s in range(strips):
                    _fill(share, all_a[s, r])
            for j in range(size):
                moved[j] = (c[j] - prev[j]) * g[j] * u[j]
            for j in range(size):
                pre_u[j] = sign * a[j] * moved[j] * (ONE - u[j])
            for j in range(size):
                pre_c[j] = g[j] * a[j] * u[j] * (ONE - c[j] * c[j])
            for j in range(size):
                pre_held[j] = pre_c[j] * reset[j]
            for j in range(size):
                pre_r[j] = pre_held[j] * held[j] * (ONE - reset[j])
            for j in range(size):
                of_h[j] = g[j] * (ONE - a[j] * u[j])
            for j in range(4 * size):
                of_bias[j] += pre[j]
            for r in range(rows):
                if t < count[order[i + r]]:
                    at = first[order[i + r]] + t
                    for part in range(4):
                        for s in range(strips):
                            _copy(all_pre[part * strips + s, r], of_pre[at, part, s])
                    if weighed:
                        along = ZERO
                        for s in range(strips):
                            for j in range(LANES):
                                along += all_moved[s, r, j]
                        of_weights[at] = along
            _add_products(pre_0, by_0, of_h, deep, strips)
            _add_products(pre_1, by_1, of_h, deep, strips)
            _add_products(pre_held, by_held, of_h, deep, strips)


@compiled_reordered
@no_type_check
def _local(strips):
    """Zeros [strips, ROWS, LANES]."""
    return np.zeros((strips, ROWS, LANES), np.float32)


@compiled_reordered
@no_type_check
def _copy(source, target):
    """Eight numbers are read before one is written: the two might overlap, for all that is known.

    (So are vectors what eight at a time become; the same in `_add`.)
    """
    for j in range(0, LANES, 8):
        a, b, c, d = source[j], source[j + 1], source[j + 2], source[j + 3]
        e, f, g, h = source[j + 4], source[j + 5], source[j + 6], source[j + 7]
        target[j], target[j + 1], target[j + 2], target[j + 3] = a, b, c, d
        target[j + 4], target[j + 5], target[j + 6], target[j + 7] = e, f, g, h


@compiled_reordered
@no_type_check
def _add(source, target):
    """target += source."""
    for j in range(0, LANES, 8):
        a, b, c, d = source[j], source[j + 1], source[j + 2], source[j + 3]
        e, f, g, h = source[j + 4], source[j + 5], source[j + 6], source[j + 7]
        a, b, c, d = target[j] + a, target[j + 1] + b, target[j + 2] + c, target[j + 3] + d
        e, f, g, h = target[j + 4] + e, target[j + 5] + f, target[j + 6] + g, target[j + 7] + h
        target[j], target[j + 1], target[j + 2], target[j + 3] = a, b, c, d
        target[j + 4], target[j + 5], target[j + 6], target[j + 7] = e, f, g, h


@compiled_reordered
@no_type_check
def _fill(value, target):
    """It becomes `value` throughout."""
    for j in range(LANES):
        target[j] = value


@compiled_reordered
@no_type_check
def _most(count, order, begin, rows):
    """The highest count of the `rows` rows from `begin` of `order` on."""
    most = 0
    for r in range(rows):
        most = max(most, count[order[begin + r]])
    return most


@compiled_reordered
@no_type_check
def _add_products(x, matrix, total, deep, strips):
    """total += x [deep] @ matrix [deep, strips · LANES], for ROWS rows, four numbers of x a time.

    Sums are taken before the first is written: what is read of the matrix serves all four rows.
    """
    for s in range(strips):
        t = total[s * SPAN : (s + 1) * SPAN]
        for k in range(0, deep, 4):
            y = x[(k // LANES) * SPAN + k % LANES :]
            m = matrix[(s * deep + k) * LANES : (s * deep + k + 4) * LANES]
            a0, a1, a2, a3 = y[0], y[1], y[2], y[3]
            b0, b1, b2, b3 = y[LANES], y[LANES + 1], y[LANES + 2], y[LANES + 3]
            c0, c1, c2, c3 = y[2 * LANES], y[2 * LANES + 1], y[2 * LANES + 2], y[2 * LANES + 3]
            d0, d1, d2, d3 = y[3 * LANES], y[3 * LANES + 1], y[3 * LANES + 2], y[3 * LANES + 3]
            for j in range(LANES):
                m0, m1, m2, m3 = m[j], m[LANES + j], m[2 * LANES + j], m[3 * LANES + j]
                a = t[j] + a0 * m0 + a1 * m1 + a2 * m2 + a3 * m3
                b = t[LANES + j] + b0 * m0 + b1 * m1 + b2 * m2 + b3 * m3
                c = t[2 * LANES + j] + c0 * m0 + c1 * m1 + c2 * m2 + c3 * m3
                d = t[3 * LANES + j] + d0 * m0 + d1 * m1 + d2 * m2 + d3 * m3
                t[j], t[LANES + j], t[2 * LANES + j], t[3 * LANES + j] = a, b, c, d
