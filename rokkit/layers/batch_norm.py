"""Batch normalisation that neither padding nor a batch of one row breaks."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


class BatchNorm(nn.Module):
    """BatchNorm over rows. With fewer than two rows it falls back on its running statistics.

    torch's own raises there, which would end a training whose last batch has one row.
    """

    momentum = 0.1  # share of the new batch in the running statistics
    eps = 1e-5  # added to the variance

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, affine: bool = True) -> None:
        """`width` columns; `affine` adds a learned scale and shift."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine else None
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(
        self, x: Float[Tensor, "N H"], mask: Bool[Tensor, "N"] | None = None
    ) -> Float[Tensor, "N H"]:
        """Normalised x: by the batch's statistics in training, by the running ones in eval.

        Rows outside `mask` are normalised too, but count in no statistic.
        """
        if self.training and mask is not None:
            return self._masked(x, mask)
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training and x.shape[0] > 1,
            momentum=self.momentum,
            eps=self.eps,
        )

    def _masked(self, x: Float[Tensor, "N H"], mask: Bool[Tensor, "N"]) -> Float[Tensor, "N H"]:
        weight, count = mask[:, None].to(x.dtype), mask.sum()
        mean = (x * weight).sum(0) / count.clamp(min=1)
        var = ((x - mean).square() * weight).sum(0) / count.clamp(min=1)
        enough = count > 1
        mean = torch.where(enough, mean, self.running_mean)
        var = torch.where(enough, var, self.running_var)
        with torch.no_grad():
            unbiased = torch.where(enough, var * count / (count - 1).clamp(min=1), var)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        normed = (x - mean) * (var + self.eps).rsqrt()
        if self.weight is None or self.bias is None:
            return normed.to(x.dtype)
        return (normed * self.weight + self.bias).to(x.dtype)
