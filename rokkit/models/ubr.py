"""UBR: User Behaviour Retrieval for CTR (Qin et al., SIGIR'20).

Paper: "User Behavior Retrieval for Click-Through Rate Prediction", Figure 2 (section not checked:
the paper was not at hand), after its public code, UBR4CTR's ubr.py, rec.py and train.py.

A selector says by which fields of the target the user's own behaviours are searched, and those that
are found are attended to:
    m ~ Bernoulli(p(x)) over the fields of the item tuple
    H = the K behaviours of highest BM25 = Σ_c m_c idf(x_c) [h_c = x_c], if above 0
    φ = Σ_k softmax_k⟨W x + b, h_k⟩ h_k        ŷ = MLP(φ ⊕ x ⊕ extra)
x is [B, F·d], m [B, C], H [B, K, D], φ [B, D]. The user's id always has to match: a history is one
user's. Where nothing matches, φ is zero.
REINFORCE raises the selector's E[1 − log P(y) / log ½], floored at −1.

Symbols: B batch; T behaviours; C item tuple's fields; F fields; d embedding; D = C·d; E of extra.
Cost: F²·d to select, T·C to search, K·D to attend, and the head. Order matters past K matches.
DEVIATION(UBR, ubr.py): only the item tuple's fields can be selected, for a history holds no others;
with none selected H is the K newest, there nothing; masks are drawn in training only, else they are
[p > ½], so that no row depends on chance; p begins at .73; the selector moves no embedding, and its
attention has no dropout. K is 20 on every data set, there 12 on Alipay.
DEVIATION(UBR, elastic_client.py): what is searched is the newest T behaviours, which come with the
batch, each compared with the target; there an index of the user's whole history.
DEVIATION(UBR, train.py): there selected fields alone are rewarded, without a baseline; here the
likelihood is the whole mask's, and a reward, of the head with dropout and batch statistics, counts
against the other rows' or, with `draw`, that of a second mask, which makes a step half as long
again. Selector and predictor learn in the same steps; with `turns` = n they take turns, the
predictor n steps, then the selector n, as there epoch by epoch, of which the first is the
predictor's. Both have one learning rate, there the selector its own, 1e-6 to 1e-4; no gradient is
clipped, there each of the selector's to norm 5 (ubr.py).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import FieldSelector, IdEmbedding, MatchSearch, QueryAttention, selection
from rokkit.models.base import Backbone, HeadConfig, Penalised, flat, join
from rokkit.models.registry import register_backbone

Fields = Float[Tensor, "B F d"]
Mask = Bool[Tensor, "B C"]


@dataclass(frozen=True, kw_only=True)
class UBRConfig(HeadConfig):
    """Settings of UBR. Raises ConfigError for a value outside its range."""

    top: int = 20  # K (public code: 20 on Tmall and Taobao, 12 on Alipay)
    baseline: Literal["rows", "draw"] = "rows"  # of a reward: the other rows', or a second mask's
    turns: int = 0  # steps of training between predictor and selector; 0: both in every step

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.top >= 1, "top", self.top, "at least 1")
        require(self.turns >= 0, "turns", self.turns, "at least 0")
        require(self.baseline in ("rows", "draw"), "baseline", self.baseline, "rows or draw")


@register_backbone("ubr", config=UBRConfig, family="behaviour", paper="SIGIR'20")
class UBR(Backbone):
    """Attention over the behaviours that a learned query finds, then an MLP.

    Parameters: the selector's 3d² + 4d and an MLP d-20-10-1, the attention's (F·d + 1)·D, the head
    (D + F·d + E)-200-80-1.
    """

    needs = frozenset({"history"})
    taken: Tensor  # steps of training, where there are turns
    over_shared_ids = True  # a behaviour that shares no id with the target cannot be found

    def __init__(self, schema: Schema, config: UBRConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        d, fields, items = config.embed_dim, schema.n_fields, schema.item_columns
        read = [column for column in range(fields) if column != schema.user_column]
        self.selector = FieldSelector(d, read, items)
        self.search = MatchSearch(items, [field.size for field in schema.fields], config.top)
        self.attention = QueryAttention(fields * d, len(items) * d)
        if config.turns:
            self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        self.head = config.head((len(items) + fields) * d + extra_dim)

    def read_pool(self, x: NDArray[np.int32]) -> None:
        """Take ids' idf from the pool's rows x [N, F]; it is saved with the weights."""
        self.search.read_pool(x)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B D"]:
        """φ of the most likely mask; zero where nothing is found."""
        x = embedding(batch.x)
        return self._attend(batch, embedding, x, self.selector(x) > 0)

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits, of the most likely mask."""
        x = embedding(batch.x)
        return self._judge(self._attend(batch, embedding, x, self.selector(x) > 0), x, extra)

    def penalised(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Penalised:
        """In training the logits of a drawn mask, and what teaches the selector."""
        if not self.training:
            return self(batch, embedding, extra), None
        assert batch.y is not None
        predicting, selecting = self._who_learns()
        x = embedding(batch.x)
        odds = self.selector(x)
        chosen, baseline = selection.drawn(odds), None
        logits = self._judge(self._attend(batch, embedding, x, chosen), x, extra)
        if not selecting:
            return logits, None
        if self.config.baseline == "draw":
            with torch.no_grad():
                other = self._attend(batch, embedding, x, selection.drawn(odds))
                baseline = selection.information_gain(self._judge(other, x, extra), batch.y)
        reward = selection.information_gain(logits.detach(), batch.y)
        lesson = selection.reinforce(selection.log_likelihood(odds, chosen), reward, baseline)
        return (logits if predicting else logits.detach()), lesson

    def _who_learns(self) -> tuple[bool, bool]:
        """Whether the predictor and the selector learn in this step, which is counted."""
        if not self.config.turns:
            return True, True
        selecting = bool(self.taken // self.config.turns % 2)
        self.taken += 1
        return not selecting, selecting

    def _attend(
        self, batch: Batch, embedding: IdEmbedding, x: Fields, chosen: Mask
    ) -> Float[Tensor, "B D"]:
        ids = self.search(batch.history, batch.x, chosen)
        keys = embedding.of_history(ids).flatten(2)
        phi: Tensor = self.attention(flat(x), keys, ids[..., 0] != 0)
        return phi

    def _judge(self, phi: Tensor, x: Fields, extra: Tensor | None) -> Tensor:
        logits: Tensor = self.head(join(phi, flat(x), extra)).squeeze(1)  # [B]
        return logits
