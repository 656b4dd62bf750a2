"""A network made ready to answer in eager PyTorch: what training alone needs is taken out."""

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_weights

from rokkit.knowledge import KnowledgeModel
from rokkit.layers import MLP, BatchNorm, Dice
from rokkit.serving.one_row import JoinedTables, QuickLayers


def folded(model: nn.Module) -> nn.Module:
    """A copy of `model` for inference: the same answers, to rounding, in fewer operations.

    Each BatchNorm becomes part of the linear layer before it, or of the Dice that holds it; dropout
    is left out. Where f joins the embeddings, it joins the table. One row goes through an MLP at
    once. The copy is in eval mode, takes no gradient, and is not to be trained.
    """
    made = copy.deepcopy(model).eval()
    if isinstance(made, KnowledgeModel) and made.use.uses_f and made.use.on_history:
        made = JoinedTables(made)
    made.requires_grad_(False)
    for module in list(made.modules()):
        for name, child in module.named_children():
            if isinstance(child, MLP):
                setattr(module, name, QuickLayers(_merged(nn.Sequential(*child.hidden, child.out))))
            elif isinstance(child, nn.Sequential):
                setattr(module, name, _merged(child))
            elif isinstance(child, nn.ModuleList):
                for i, one in enumerate(child):
                    child[i] = FoldedDice(one) if isinstance(one, Dice) else one
            elif isinstance(child, Dice):
                setattr(module, name, FoldedDice(child))
    return made


class FoldedDice(nn.Module):
    """Dice with its running statistics as a scale and a shift (layers/dice.py)."""

    scale: Tensor
    shift: Tensor
    alpha: Tensor
    rest: Tensor

    def __init__(self, dice: Dice) -> None:
        super().__init__()
        norm = dice.norm
        scale = (norm.running_var + norm.eps).rsqrt()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", -norm.running_mean * scale)
        self.register_buffer("alpha", dice.alpha.detach().clone())
        self.register_buffer("rest", 1 - self.alpha)

    def forward(
        self, s: Float[Tensor, "N H"], mask: Bool[Tensor, "N"] | None = None
    ) -> Float[Tensor, "N H"]:
        """Activated s; `mask` says nothing here, for it matters to statistics alone."""
        p = torch.addcmul(self.shift, s, self.scale).sigmoid_()
        return torch.addcmul(self.alpha, p, self.rest).mul_(s)


def _merged(layers: nn.Sequential) -> nn.Sequential:
    """Without BatchNorm after a linear layer, and without dropout."""
    kept: list[nn.Module] = []
    for layer in layers:
        before = kept[-1] if kept else None
        if isinstance(layer, BatchNorm) and isinstance(before, nn.Linear):
            kept[-1] = _with_norm(before, layer)
        elif isinstance(layer, nn.ReLU) and isinstance(before, nn.Linear):
            kept.append(nn.ReLU(inplace=True))  # what goes in is read by nothing else
        elif not isinstance(layer, nn.Dropout):
            kept.append(layer)
    return nn.Sequential(*kept)


def _with_norm(linear: nn.Linear, norm: BatchNorm) -> nn.Linear:
    """Both as one layer."""
    assert norm.weight is not None
    assert norm.bias is not None
    made = nn.Linear(linear.in_features, linear.out_features, device="meta")
    made.weight, made.bias = fuse_linear_bn_weights(
        linear.weight,
        linear.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    return made.requires_grad_(False)
