"""How a knowledge base does: does z collapse, and how much of r does it explain?"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def collapse_level(z: Float[Tensor, "N R"]) -> float:
    """0 if the rows of z point in all directions alike, 1 if they all point in one.

    1 − √R · (standard deviation of the l2-normalised z, mean over dimensions). Isotropic rows have
    1/√R per dimension, which is the largest mean there can be (SimSiam, Fig. 2 there).
    """
    spread = functional.normalize(z.double(), dim=1).std(0, correction=0).mean()
    return float((1 - spread * z.shape[1] ** 0.5).clamp(0, 1))


def effective_rank(z: Float[Tensor, "N R"]) -> float:
    """exp of the entropy of the shares of the singular values of centred z: 1 to R.

    Roy and Vetterli, EUSIPCO'07. 0 if all rows are equal.
    """
    centred = z.double() - z.double().mean(0)
    # Eigenvalues of R x R instead of singular values of N x R: N can be millions.
    singular = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0).sqrt()
    total = singular.sum()
    if total <= 1e-12 * max(1.0, float(z.abs().max())):
        return 0.0
    shares = singular / total
    return float(torch.special.entr(shares).sum().exp())


def imitation_r2(
    z: Float[Tensor, "N R"], r: Float[Tensor, "N R"], blocks: Mapping[str, slice]
) -> dict[str, float]:
    """R² of z against r: under "all", and per block of dimensions under the block's name.

    1 − Σ(z − r)² / Σ(r − mean of r per dimension)², both sums over rows and the block's dimensions;
    at most 1, below 0 where z is worse than the mean. A block that does not vary gives 1 if z
    equals it and 0 otherwise.
    """
    z, r = z.double(), r.double()
    missed = (z - r).square_().sum(0)
    varies = (r - r.mean(0)).square_().sum(0)
    return {
        name: _r2(float(missed[columns].sum()), float(varies[columns].sum()))
        for name, columns in ({"all": slice(None)} | dict(blocks)).items()
    }


def _r2(missed: float, varies: float) -> float:
    return float(missed == 0) if varies == 0 else 1 - missed / varies
