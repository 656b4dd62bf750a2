"""The gradients of the pairs of a target and a behaviour, added up by a compiled loop."""

from typing import no_type_check

from rokkit.compiled import compiled


@compiled
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def pairs_backward(of_s, of_pairs, q, k, row, of_q, of_query, of_k):
    """Of the behaviours k [n, D]: sets `of_k` [n, D], adds to `of_q` [B, D] and `of_query` [B, H].

    `of_pairs` [n, 2D] are the gradients by k ⊕ q∘k, `of_s` [n, H] those of the layer.
    """
    n, width = k.shape
    for i in range(n):
        b = row[i]
        for e in range(width):
            through = of_pairs[i, width + e]
            of_k[i, e] = of_pairs[i, e] + through * q[b, e]
            of_q[b, e] += through * k[i, e]
        for e in range(of_s.shape[1]):
            of_query[b, e] += of_s[i, e]
