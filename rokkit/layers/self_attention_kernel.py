"""Compiled loops of self-attention over a few tokens, LANES rows side by side.

A block of LANES rows is laid out number by number, [F, c, LANES], and stays in the cache; so every
inner loop is over rows, which a processor's vectors take, however short tokens and heads are. The
last block is filled up with zeros.

Symbols: B rows; F tokens; n heads; c width of a head; q, k, v of a head; P the weights, laid out as
[blocks, n, F, F, LANES]; s = 1 / √c.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered

LANES = 64
ZERO, ONE = np.float32(0), np.float32(1)


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def scores(qkv, found):
    """s q·k less a row's highest, in the layout of P, from qkv [B, F, 3, n, c]."""
    _, f, _, n, c = qkv.shape
    scale = np.float32(1 / np.sqrt(c))
    q, k = _laid_out(f, c), _laid_out(f, c)
    highest = np.empty(LANES, np.float32)
    for block in range(found.shape[0]):
        for h in range(n):
            _read(qkv[:, :, 0], block, h, q)
            _read(qkv[:, :, 1], block, h, k)
            for i in range(f):
                for j in range(f):
                    score = found[block, h, i, j]
                    for r in range(LANES):
                        score[r] = ZERO
                    for e in range(c):
                        for r in range(LANES):
                            score[r] += q[i, e, r] * k[j, e, r]
                    for r in range(LANES):
                        score[r] *= scale
                        highest[r] = score[r] if j == 0 else max(highest[r], score[r])
                for j in range(f):
                    for r in range(LANES):
                        found[block, h, i, j, r] -= highest[r]


@compiled_reordered
@no_type_check
def mix(qkv, weights, out):
    """out = P V [B, F, n, c]; `weights` come in as e to the scores and become P."""
    _, f, _, n, c = qkv.shape
    v, mixed = _laid_out(f, c), _laid_out(f, c)
    total = np.empty(LANES, np.float32)
    for block in range(weights.shape[0]):
        for h in range(n):
            _read(qkv[:, :, 2], block, h, v)
            for i in range(f):
                total[:] = ZERO
                mixed[i] = ZERO
                for j in range(f):
                    for r in range(LANES):
                        total[r] += weights[block, h, i, j, r]
                for r in range(LANES):
                    total[r] = ONE / total[r]
                for j in range(f):
                    for r in range(LANES):
                        weights[block, h, i, j, r] *= total[r]
                    for e in range(c):
                        for r in range(LANES):
                            mixed[i, e, r] += weights[block, h, i, j, r] * v[j, e, r]
            _write(mixed, block, h, out)


@compiled_reordered
@no_type_check
def attend_backward(qkv, weights, of_out, of_qkv):
    """The gradient [B, F, 3, n, c] by q, k and v."""
    _, f, _, n, c = qkv.shape
    scale = np.float32(1 / np.sqrt(c))
    q, k, v, of_o = _laid_out(f, c), _laid_out(f, c), _laid_out(f, c), _laid_out(f, c)
    of_q, of_k, of_v = _laid_out(f, c), _laid_out(f, c), _laid_out(f, c)
    of_p, along = np.empty((f, LANES), np.float32), np.empty(LANES, np.float32)
    for block in range(weights.shape[0]):
        for h in range(n):
            _read(qkv[:, :, 0], block, h, q)
            _read(qkv[:, :, 1], block, h, k)
            _read(qkv[:, :, 2], block, h, v)
            _read(of_out, block, h, of_o)
            of_q[:] = ZERO
            of_k[:] = ZERO
            of_v[:] = ZERO
            for i in range(f):
                of_p[:] = ZERO
                along[:] = ZERO
                for j in range(f):
                    p = weights[block, h, i, j]
                    for e in range(c):
                        for r in range(LANES):
                            of_p[j, r] += of_o[i, e, r] * v[j, e, r]
                            of_v[j, e, r] += p[r] * of_o[i, e, r]
                    for r in range(LANES):
                        along[r] += p[r] * of_p[j, r]
                for j in range(f):
                    p = weights[block, h, i, j]
                    for r in range(LANES):
                        of_p[j, r] = p[r] * (of_p[j, r] - along[r]) * scale
                    for e in range(c):
                        for r in range(LANES):
                            of_q[i, e, r] += of_p[j, r] * k[j, e, r]
                            of_k[j, e, r] += of_p[j, r] * q[i, e, r]
            _write(of_q, block, h, of_qkv[:, :, 0])
            _write(of_k, block, h, of_qkv[:, :, 1])
            _write(of_v, block, h, of_qkv[:, :, 2])


@compiled_reordered
@no_type_check
def _laid_out(f, c):
    return np.zeros((f, c, LANES), np.float32)


@compiled_reordered
@no_type_check
def _read(x, block, h, held):
    """held [F, c, LANES] of head h, from x [B, F, n, c]."""
    start = block * LANES
    rows = min(LANES, x.shape[0] - start)
    if rows < LANES:
        held[:] = ZERO
    for r in range(rows):
        for i in range(held.shape[0]):
            for e in range(held.shape[1]):
                held[i, e, r] = x[start + r, i, h, e]


@compiled_reordered
@no_type_check
def _write(held, block, h, x):
    """The way back of `_read`."""
    start = block * LANES
    for r in range(min(LANES, x.shape[0] - start)):
        for i in range(held.shape[0]):
            for e in range(held.shape[1]):
                x[start + r, i, h, e] = held[i, e, r]
