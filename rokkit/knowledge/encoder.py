"""The knowledge encoder g as a Transformer, which the paper allows (§4.2) and does not try.

A token t_i per field i, made of its embedding e_i and a vector v_i of the field's own; L blocks of
attention and two linear layers (Vaswani et al., NeurIPS'17), the norms in front of both (Xiong et
al., ICML'20); then all tokens side by side:
    t_i = W e_i + v_i
    L times:  t <- t + P softmax(Q Kᵀ / √(w/n)) V     Q, K, V of norm(t), in n heads
              t <- t + W_2 ReLU(W_1 norm(t))
    z = O flatten(norm(t))
P, W_1, W_2 and O have biases. No mask: no field is ever missing.

Symbols: B batch; F fields; d width of f; w width of a token, 4 w between W_1 and W_2; n heads;
L blocks; R width of z.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rokkit.layers import Dropout, self_attended


class TransformerEncoder(nn.Module):
    """g: [B, F·d] -> [B, R], self-attention over the fields of a row, then a linear output.

    Nothing is normalised over the batch, so a row's z depends on that row alone in training too.

    v starts from N(0, .2²), far above W f (f has σ .01): else the norms would blow the noise of f
    up, and an id that training never meets has to act as nearly zero. At σ 1 z is learnt later.

    Parameters: w·(d + F) + L·(12 w² + 10 w) + 2 w + R·(F·w + 1). v is W's bias. Q, K and V
    have none: K's takes no part in a softmax over K, and P's stands for V's.
    """

    def __init__(
        self,
        fields: int,
        dim: int,
        out_dim: int,
        *,
        layers: int,
        heads: int,
        width: int,
        dropout: float = 0.0,
    ) -> None:
        """F, d, R, L, n, w, and the share dropped of what a block adds."""
        super().__init__()
        self.fields = fields
        self.into = nn.Linear(dim, width, bias=False)
        # v, as a table: a bias per field, which no more decays than another bias.
        start = 0.2 * torch.randn(fields, width)
        self.field = nn.Embedding(fields, width, _weight=start)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(fields * width, out_dim)

    def forward(self, e: Float[Tensor, "B Fd"]) -> Float[Tensor, "B R"]:
        """z of rows of embeddings side by side."""
        tokens = self.into(e.view(e.shape[0], self.fields, -1)) + self.field.weight
        z: Tensor = self.out(self.norm(self.blocks(tokens)).flatten(1))
        return z


class Block(nn.Module):
    """Self-attention over tokens, then two linear layers; both add to what they are given."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width)
        self.wide_norm = nn.LayerNorm(width)
        self.wide = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, t: Float[Tensor, "B F w"]) -> Float[Tensor, "B F w"]:
        """The tokens after this block."""
        t = t + self.dropout(self._attend(self.attention_norm(t)))
        added: Tensor = self.dropout(self.wide(self.wide_norm(t)))
        return t + added

    def _attend(self, t: Float[Tensor, "B F w"]) -> Float[Tensor, "B F w"]:
        projected: Tensor = self.project(self_attended(self.qkv(t), self.heads))
        return projected
