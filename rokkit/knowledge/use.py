"""Knowledge utilisation (§4.4): a backbone that uses a knowledge base, without knowing it.

Symbols: B batch; d width of an id's embedding; z = g(f(x)).
"""

import copy
from dataclasses import dataclass
from typing import Any, Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.errors import ConfigError
from rokkit.knowledge.base import KnowledgeBase
from rokkit.layers import FieldEmbedding, IdEmbedding, JoinedEmbedding
from rokkit.models.base import Backbone, Penalised
from rokkit.models.ctr import check_batch
from rokkit.models.registry import build_config, init_std, model_entry

Manner = Literal["instance", "feature", "both"]
Update = Literal["fix", "g", "fg"]


@dataclass(frozen=True, kw_only=True)
class UseConfig:
    """How a backbone uses a knowledge base. Raises ConfigError for a value outside its range."""

    manner: Manner = "both"  # z joins the head's input; f joins every embedding; both
    update: Update = "fix"  # what stage 2 trains of the base: nothing, g, or f and g (§5.5.1)
    on_history: bool = True  # f joins the embeddings of histories too, not of the target alone

    def __post_init__(self) -> None:
        manners, updates = get_args(Manner), get_args(Update)
        require(self.manner in manners, "manner", self.manner, f"one of {', '.join(manners)}")
        require(self.update in updates, "update", self.update, f"one of {', '.join(updates)}")
        if self.manner == "feature" and self.update == "g":
            raise ConfigError(
                "update is 'g' and manner is 'feature', where g takes no part; "
                "expected update 'fix' or 'fg', or another manner."
            )

    @property
    def uses_z(self) -> bool:
        """True if z joins the head's input (instance-wise)."""
        return self.manner in ("instance", "both")

    @property
    def uses_f(self) -> bool:
        """True if f joins the embeddings (feature-wise)."""
        return self.manner in ("feature", "both")


class KnowledgeModel(nn.Module):
    """A backbone, its own id table and a knowledge base; called like a CTRModel.

    With update "fix" the base is in eval mode whatever `train()` says, and takes no gradient, so
    that stage 2 leaves it bit-equal, BatchNorm's running statistics included.
    """

    def __init__(
        self, own: FieldEmbedding, backbone: Backbone, base: KnowledgeBase, use: UseConfig
    ) -> None:
        """Takes `base` over: its parameters are frozen and unfrozen as `use` says."""
        super().__init__()
        self.own = own
        self.backbone = backbone
        self.base = base
        self.use = use
        base.requires_grad_(False)
        base.f.requires_grad_(use.update == "fg")
        base.g.requires_grad_(use.update in ("g", "fg") and use.uses_z)
        self.train(self.training)

    @property
    def needs(self) -> frozenset[str]:
        """The parts of a Batch that the model reads besides x."""
        return self.backbone.needs

    @property
    def embedding(self) -> IdEmbedding:
        """What the backbone looks ids up with."""
        if not self.use.uses_f:
            return self.own
        return JoinedEmbedding(self.own, self.base.f, self.use.on_history)

    @property
    def z_stays(self) -> bool:
        """Whether z of a sample is the same throughout training: then it may be asked for once."""
        return self.use.uses_z and self.use.update == "fix"

    def forward(self, batch: Batch) -> Float[Tensor, "B"]:
        """Logits. ConfigError if the batch lacks what the model needs.

        Where z stays, a batch may bring it as `extra` [B, R].
        """
        check_batch(batch, self.needs)
        logits: Tensor = self.backbone(batch, self.embedding, self._z(batch))
        return logits

    def penalised(self, batch: Batch) -> Penalised:
        """As `forward`, and what training adds to the logits' cross-entropy."""
        check_batch(batch, self.needs, penalised=True)
        return self.backbone.penalised(batch, self.embedding, self._z(batch))

    def _z(self, batch: Batch) -> Float[Tensor, "B R"] | None:
        if self.z_stays and batch.extra is not None:
            return batch.extra
        return self.base(batch.x) if self.use.uses_z else None

    def train(self, mode: bool = True) -> "KnowledgeModel":
        """Set training mode everywhere but in a base that is not to change."""
        super().train(mode)
        if self.use.update == "fix":
            self.base.eval()
        return self


def with_knowledge(
    name: str, schema: Schema, base: KnowledgeBase, use: UseConfig, **config: Any
) -> KnowledgeModel:
    """The model `name` with fresh weights that uses a copy of `base`, which itself stays as it is.

    Feature-wise, the backbone's own table gives up as many dimensions as f has (footnote 3), so
    that the backbone still sees `embed_dim` per id. Raises ConfigError as `create_model` does, and
    if the base is too wide or was made for other ids.
    """
    ready = build_config(name, config)
    if (base.schema.n_ids, base.schema.n_fields) != (schema.n_ids, schema.n_fields):
        raise ConfigError(
            f"the knowledge base knows {base.schema.n_fields} fields and {base.schema.n_ids} ids; "
            f"the data set {schema.name!r} has {schema.n_fields} and {schema.n_ids}. "
            "Construct a base on this data set."
        )
    own_dim = ready.embed_dim - (base.f.dim if use.uses_f else 0)
    require(
        own_dim >= 1,
        f"embed_dim of model {name!r}",
        ready.embed_dim,
        f"above {base.f.dim}, the width of the knowledge base's f that it is shared with",
    )
    own = FieldEmbedding(schema.n_ids, own_dim, init_std(ready))
    extra_dim = base.representation_dim if use.uses_z else 0
    backbone = model_entry(name).target(schema, ready, extra_dim)
    return KnowledgeModel(own, backbone, copy.deepcopy(base), use)
