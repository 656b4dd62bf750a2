"""Compiled loops of Dice: what its equation reads and writes in ten passes, in one or two.

Symbols: N rows; H width; p = sigmoid of the normalised s; α, μ and 1/σ [H].
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered

SUMMED = 64  # rows summed up in float32 before they join a sum in float64


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def activate(s, p, alpha, activated):
    """activated = s ∘ (α + (1 − α) ∘ p), all [N, H] but α."""
    for i in range(s.shape[0]):
        for e in range(s.shape[1]):
            activated[i, e] = s[i, e] * (alpha[e] + (np.float32(1) - alpha[e]) * p[i, e])


@compiled_reordered
@no_type_check
def activate_backward(of_activated, s, p, alpha, mean, scale, activated, of_s, sums):
    """Activated s again, the gradient by s as if μ and σ were given, and what `recentre` needs.

    `scale` is 1/σ. Added to `sums` [3, H]: the gradient by the normalised s, the same times the
    normalised s, and the gradient by α, each summed over the rows.
    """
    n, h = s.shape
    one = np.float32(1)
    rest = np.empty(h, np.float32)
    for e in range(h):
        rest[e] = one - alpha[e]
    total, along = np.empty(h, np.float32), np.empty(h, np.float32)
    by_alpha = np.empty(h, np.float32)
    for start in range(0, n, SUMMED):
        for e in range(h):
            total[e], along[e], by_alpha[e] = 0, 0, 0
        for i in range(start, min(start + SUMMED, n)):
            for e in range(h):
                gate = alpha[e] + rest[e] * p[i, e]
                activated[i, e] = s[i, e] * gate
                by_gate = of_activated[i, e] * s[i, e]
                closed = one - p[i, e]
                of_normed = by_gate * rest[e] * p[i, e] * closed
                of_s[i, e] = of_activated[i, e] * gate + scale[e] * of_normed
                total[e] += of_normed
                along[e] += of_normed * (s[i, e] - mean[e]) * scale[e]
                by_alpha[e] += by_gate * closed
        for e in range(h):
            sums[0, e] += total[e]
            sums[1, e] += along[e]
            sums[2, e] += by_alpha[e]


@compiled_reordered
@no_type_check
def recentre(s, mean, scale, means, of_s):
    """What μ and σ, as statistics of these rows, take from `of_s` again.

    `means` [2, H]: over the rows, of the gradient by the normalised s and of that times it.
    """
    for i in range(s.shape[0]):
        for e in range(s.shape[1]):
            normed = (s[i, e] - mean[e]) * scale[e]
            of_s[i, e] -= scale[e] * (means[0, e] + normed * means[1, e])
