"""Compiled loops of Dice: what its equation reads and writes in ten passes, in one or two.

Symbols: N rows; H width; p = sigmoid of the normalised s; α, μ and 1/σ [H].
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered

BLOCK = 64  # rows summed up in float32 before they join a sum in float64


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def activate(s, p, alpha, activated):
    """activated = s ∘ (α + (1 − α) ∘ p), all [N, H] but α."""
    for i in range(s.shape[0]):
        for e in range(s.shape[1]):
            activated[i, e] = s[i, e] * (alpha[e] + (np.float32(1) - alpha[e]) * p[i, e])


@compiled_reordered
@no_type_check
def activate_backward(of_activated, s, p, alpha, mean, scale, of_batch, of_s, of_alpha):
    """Gradients by s and α; `scale` is 1/σ. `of_batch`: μ and σ are statistics of these rows."""
    n, h = s.shape
    one = np.float32(1)
    rest = np.empty(h, np.float32)
    for e in range(h):
        rest[e] = one - alpha[e]
    total, along, by_alpha = np.zeros(h), np.zeros(h), np.zeros(h)
    block_total, block_along, block_alpha = (
        np.empty(h, np.float32),
        np.empty(h, np.float32),
        np.empty(h, np.float32),
    )
    for start in range(0, n, BLOCK):
        for e in range(h):
            block_total[e], block_along[e], block_alpha[e] = 0, 0, 0
        for i in range(start, min(start + BLOCK, n)):
            for e in range(h):
                by_gate = of_activated[i, e] * s[i, e]
                closed = one - p[i, e]
                of_normed = by_gate * rest[e] * p[i, e] * closed
                of_s[i, e] = of_normed
                block_total[e] += of_normed
                block_along[e] += of_normed * (s[i, e] - mean[e]) * scale[e]
                block_alpha[e] += by_gate * closed
        for e in range(h):
            total[e] += block_total[e]
            along[e] += block_along[e]
            by_alpha[e] += block_alpha[e]
    mean_of_normed, mean_along = np.zeros(h, np.float32), np.zeros(h, np.float32)
    for e in range(h):
        of_alpha[e] = by_alpha[e]
        if of_batch:
            mean_of_normed[e] = total[e] / n
            mean_along[e] = along[e] / n
    for i in range(n):
        for e in range(h):
            normed = (s[i, e] - mean[e]) * scale[e]
            through = of_s[i, e] - mean_of_normed[e] - normed * mean_along[e]
            gate = alpha[e] + rest[e] * p[i, e]
            of_s[i, e] = of_activated[i, e] * gate + scale[e] * through
