"""Compiled loops of the attention over neighbours; their embeddings are never put side by side.

Symbols: V ids; B batch; K neighbours; F fields; d width of an id's embedding, D = F·d; S_k [D] the
embeddings of neighbour k; q the query; a the weights.

Both loops look embeddings up in the same lines: as a function they make a step twice as long.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def attend(table, ids, mask, q, weights, attended):
    """weights [B, K] = softmax_k ⟨q, S_k⟩ where `mask` holds; attended [B, D] = Σ_k a_k S_k."""
    n, neighbours, fields = ids.shape
    d = table.shape[1]
    keys = np.empty((neighbours, fields * d), np.float32)  # of one sample: it stays in the cache
    for b in range(n):
        highest = np.float32(-np.inf)
        for k in range(neighbours):
            if mask[b, k]:
                for f in range(fields):
                    row = ids[b, k, f]
                    for e in range(d):
                        keys[k, f * d + e] = table[row, e]
                score = np.float32(0)
                for e in range(fields * d):
                    score += keys[k, e] * q[b, e]
                weights[b, k] = score
                highest = max(highest, score)
        total = np.float32(0)
        for k in range(neighbours):
            if mask[b, k]:
                weights[b, k] = np.exp(weights[b, k] - highest)
                total += weights[b, k]
        for e in range(fields * d):
            attended[b, e] = 0
        for k in range(neighbours):
            if mask[b, k]:
                weights[b, k] /= total
                for e in range(fields * d):
                    attended[b, e] += weights[b, k] * keys[k, e]
            else:
                weights[b, k] = 0


@compiled_reordered
@no_type_check
def attend_backward(
    table, ids, mask, q, weights, of_weights, of_attended, of_q, of_table, of_rows, kept
):
    """Gradients by q, and by the table's rows: added to `of_table`, listed in `of_rows`, neither.

    `kept` is 0, 1 or 2 for neither, `of_table` [V, d] and `of_rows` [B·K·F, d], which begin as 0.
    """
    n, neighbours, fields = ids.shape
    d = table.shape[1]
    keys = np.empty((neighbours, fields * d), np.float32)
    of_score = np.empty(neighbours, np.float32)
    moved = np.empty(fields * d, np.float32)
    for b in range(n):
        mean = np.float32(0)
        for k in range(neighbours):
            if mask[b, k]:
                for f in range(fields):
                    row = ids[b, k, f]
                    for e in range(d):
                        keys[k, f * d + e] = table[row, e]
                found = of_weights[b, k]
                for e in range(fields * d):
                    found += keys[k, e] * of_attended[b, e]
                of_score[k] = found
                mean += weights[b, k] * found
        for e in range(fields * d):
            of_q[b, e] = 0
        for k in range(neighbours):
            if not mask[b, k]:
                continue
            a = weights[b, k]
            s = a * (of_score[k] - mean)
            for e in range(fields * d):
                of_q[b, e] += s * keys[k, e]
            if kept == 0:
                continue
            for e in range(fields * d):
                moved[e] = a * of_attended[b, e] + s * q[b, e]
            for f in range(fields):
                row = ids[b, k, f]
                if row == 0:  # padding
                    continue
                if kept == 1:
                    for e in range(d):
                        of_table[row, e] += moved[f * d + e]
                else:
                    at = (b * neighbours + k) * fields + f
                    for e in range(d):
                        of_rows[at, e] = moved[f * d + e]
