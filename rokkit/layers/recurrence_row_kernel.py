"""The recurrence of `recurrence_kernel` for one row that nothing is learnt from.

There all weights are laid out anew for rows side by side, which takes a single row longer than its
steps do.

Symbols: n places; H of a state.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered
from rokkit.layers.recurrence_kernel import ONE, TWO, exponentials


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def run_row(entering, weights, matrix, bias, torch_order, states, h):
    """The row's states [n, H] from entering [n, 3H], `weights` [n], which are all 1 if empty.

    `matrix` [H, 3H] is Uᵀ, `bias` b [3H], and h [H] the state before, which becomes the last.
    """
    width, weighed = len(h), len(weights) > 0
    sign_0, sign_1 = (-ONE, ONE) if torch_order else (-ONE, -ONE)
    s, powers = np.empty(3 * width, np.float32), np.empty(2 * width, np.int32)
    s_0, s_1, s_c = s[:width], s[width : 2 * width], s[2 * width :]
    u, reset = (s_1, s_0) if torch_order else (s_0, s_1)
    for t in range(len(states)):
        x = entering[t]
        for i in range(3 * width):
            s[i] = bias[i]
        for j in range(0, width - 3, 4):
            h_0, h_1, h_2, h_3 = h[j], h[j + 1], h[j + 2], h[j + 3]
            m_0, m_1, m_2, m_3 = matrix[j], matrix[j + 1], matrix[j + 2], matrix[j + 3]
            for i in range(3 * width):
                s[i] += h_0 * m_0[i] + h_1 * m_1[i] + h_2 * m_2[i] + h_3 * m_3[i]
        for j in range(width - width % 4, width):
            m_0 = matrix[j]
            for i in range(3 * width):
                s[i] += h[j] * m_0[i]
        for i in range(width):
            s_0[i] = sign_0 * (x[i] + s_0[i])
            s_1[i] = sign_1 * (x[width + i] + s_1[i])
        exponentials(s, powers, 2 * width)
        for i in range(2 * width):
            s[i] = ONE / (ONE + s[i])
        for i in range(width):
            s_c[i] = TWO * (x[2 * width + i] + reset[i] * s_c[i])
        exponentials(s_c, powers, width)
        share = weights[t] if weighed else ONE
        for i in range(width):
            c = ONE - TWO / (ONE + s_c[i])  # tanh
            h[i] += share * u[i] * (c - h[i])
            states[t, i] = h[i]
