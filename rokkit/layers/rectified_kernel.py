"""Compiled loops of a hidden layer after its product: BatchNorm, ReLU and dropout in few passes.

Symbols: N rows; H width; γ and β [H] of the BatchNorm, μ and 1/σ [H] of the rows.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered

SUMMED = 64  # rows summed up in float32 before they join a sum in float64


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def statistics(x, mean, scale, running_mean, running_var, momentum, eps):
    """Write μ and 1/σ of the rows x [N, H], and move the running mean and variance towards them."""
    n, h = x.shape
    center, spread = np.zeros(h), np.zeros(h)
    part = np.empty(h, np.float32)
    for start in range(0, n, SUMMED):
        for e in range(h):
            part[e] = 0
        for i in range(start, min(start + SUMMED, n)):
            for e in range(h):
                part[e] += x[i, e]
        for e in range(h):
            center[e] += part[e]
    for e in range(h):
        center[e] /= n
        mean[e] = center[e]
    for start in range(0, n, SUMMED):
        for e in range(h):
            part[e] = 0
        for i in range(start, min(start + SUMMED, n)):
            for e in range(h):
                part[e] += (x[i, e] - mean[e]) * (x[i, e] - mean[e])
        for e in range(h):
            spread[e] += part[e]
    for e in range(h):
        var = spread[e] / n
        scale[e] = 1 / np.sqrt(var + eps)
        running_mean[e] += momentum * (center[e] - running_mean[e])
        running_var[e] += momentum * (spread[e] / (n - 1) - running_var[e])


@compiled_reordered
@no_type_check
def rectify(x, mean, scale, gamma, beta, y):
    """y = max(0, γ ∘ (x − μ) / σ + β); what is no number stays so."""
    zero = np.float32(0)
    along, shift = np.empty_like(scale), np.empty_like(scale)
    for e in range(len(scale)):
        along[e] = gamma[e] * scale[e]
        shift[e] = beta[e] - mean[e] * along[e]
    for i in range(x.shape[0]):
        for e in range(x.shape[1]):
            normed = x[i, e] * along[e] + shift[e]
            y[i, e] = zero if normed <= zero else normed


@compiled_reordered
@no_type_check
def drop(y, draws, below, factor):
    """y = 0 where the draw [N, H] is below a bound, and times `factor` elsewhere."""
    zero, below, factor = np.float32(0), np.int16(below), np.float32(factor)
    for i in range(y.shape[0]):
        for e in range(y.shape[1]):
            y[i, e] = zero if draws[i, e] < below else y[i, e] * factor


@compiled_reordered
@no_type_check
def rectify_backward(of_y, x, y, mean, scale, gamma, factor, of_x, of_gamma, of_beta):
    """The gradients by x, γ and β; `factor` is what those were multiplied by that were kept."""
    n, h = x.shape
    zero, factor = np.float32(0), np.float32(factor)
    total, along = np.empty(h, np.float32), np.empty(h, np.float32)
    sums = np.zeros((2, h))
    for start in range(0, n, SUMMED):
        for e in range(h):
            total[e], along[e] = 0, 0
        for i in range(start, min(start + SUMMED, n)):
            for e in range(h):
                of_normed = zero if y[i, e] == zero else of_y[i, e] * factor
                of_x[i, e] = of_normed
                total[e] += of_normed
                along[e] += of_normed * (x[i, e] - mean[e])
        for e in range(h):
            sums[0, e] += total[e]
            sums[1, e] += along[e]
    for e in range(h):
        of_beta[e] = sums[0, e]
        of_gamma[e] = sums[1, e] * scale[e]
        total[e] = sums[0, e] / n
        along[e] = sums[1, e] * scale[e] * scale[e] / n
    outer = np.empty(h, np.float32)
    for e in range(h):
        outer[e] = gamma[e] * scale[e]
    for i in range(n):
        for e in range(h):
            of_x[i, e] = outer[e] * (of_x[i, e] - total[e] - (x[i, e] - mean[e]) * along[e])
