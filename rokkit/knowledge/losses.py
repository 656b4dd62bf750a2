"""The losses of knowledge construction (§4.3), with their stop-gradients inside.

Symbols: B batch; R width of a representation; z = g(f(·)); p = h(z); x the target; s its positive
neighbour; r the teacher's aggregate. Means are over rows and, in Eq. 3, dimensions.
"""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from rokkit.config import require


def imitation_loss(z: Float[Tensor, "B R"], r: Float[Tensor, "B R"]) -> Float[Tensor, ""]:
    """Eq. 3: MSE(z, r). No gradient goes to r."""
    return functional.mse_loss(z, r.detach())


def contrastive_loss(
    p_x: Float[Tensor, "B R"],
    z_s: Float[Tensor, "B R"],
    p_s: Float[Tensor, "B R"],
    z_x: Float[Tensor, "B R"],
    mask: Bool[Tensor, "B"] | None = None,
) -> Float[Tensor, ""]:
    """Eq. 7: −(½ D(p_x, z_s) + ½ D(p_s, z_x)), D the cosine of Eq. 6. No gradient goes to z.

    Rows outside `mask` (no neighbour) are left out of the mean; with no row left it is 0.
    """
    across = cosine(p_x, z_s.detach()) + cosine(p_s, z_x.detach())
    if mask is None:
        return -across.mean() / 2
    return -(across * mask).sum() / (2 * mask.sum().clamp(min=1))


def construction_loss(
    z_x: Float[Tensor, "B R"],
    r: Float[Tensor, "B R"],
    p_x: Float[Tensor, "B R"],
    z_s: Float[Tensor, "B R"],
    p_s: Float[Tensor, "B R"],
    alpha: float,
    mask: Bool[Tensor, "B"] | None = None,
) -> Float[Tensor, ""]:
    """Eq. 8: (1 − α) · Eq. 3 + α · Eq. 7. ConfigError unless α lies in [0, 1]."""
    require(0 <= alpha <= 1, "alpha", alpha, "a number from 0 to 1 (Eq. 8)")
    imitation = imitation_loss(z_x, r)
    contrast = contrastive_loss(p_x, z_s, p_s, z_x, mask)
    return (1 - alpha) * imitation + alpha * contrast


def cosine(p: Float[Tensor, "B R"], z: Float[Tensor, "B R"]) -> Float[Tensor, "B"]:
    """Eq. 6: D(p, z) of each row."""
    return functional.cosine_similarity(p, z, dim=1)
