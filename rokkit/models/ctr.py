"""A model made of a backbone and an id table."""

from jaxtyping import Float
from torch import Tensor, nn

from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.layers import FieldEmbedding
from rokkit.models.base import Backbone, Penalised, Teacher


class CTRModel(nn.Module):
    """A backbone and its id table."""

    def __init__(self, embedding: FieldEmbedding, backbone: Backbone) -> None:
        super().__init__()
        self.embedding = embedding
        self.backbone = backbone

    @property
    def needs(self) -> frozenset[str]:
        """The parts of a Batch that the model reads besides x."""
        return self.backbone.needs

    def forward(self, batch: Batch) -> Float[Tensor, "B"]:
        """Logits. ConfigError if the batch lacks what the model needs."""
        check_batch(batch, self.needs)
        logits: Tensor = self.backbone(batch, self.embedding)
        return logits

    def penalised(self, batch: Batch) -> Penalised:
        """As `forward`, and what training adds to the logits' cross-entropy."""
        check_batch(batch, self.needs, penalised=True)
        return self.backbone.penalised(batch, self.embedding)

    def aggregate(self, batch: Batch) -> Float[Tensor, "B R"]:
        """r, what a teacher makes of the neighbours; ConfigError if the model is no teacher."""
        check_batch(batch, self.needs)
        if not isinstance(self.backbone, Teacher):
            raise ConfigError(
                f"{type(self.backbone).__name__} aggregates no neighbours, so it cannot teach; "
                "take a teacher such as rim."
            )
        return self.backbone.aggregate(batch, self.embedding)


def check_batch(batch: Batch, needs: frozenset[str], *, penalised: bool = False) -> None:
    """Raise ConfigError unless `batch` holds everything in `needs`.

    Negatives of a history are for a model's penalty alone: predictions do without.
    """
    unread = None if penalised else "history_negatives"
    missing = [need for need in needs if getattr(batch, need) is None and need != unread]
    if missing:
        raise ConfigError(
            f"the batch has no {min(missing)}, and the model reads it; gather batches with "
            "Feed(..., needs=model.needs)."
        )


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Numbers of parameters: in id tables ("table"), elsewhere ("dense"), and in "total"."""
    tables = [m.weight for m in model.modules() if isinstance(m, FieldEmbedding)]
    table = sum(weight.numel() for weight in tables)
    total = sum(p.numel() for p in model.parameters())
    return {"table": table, "dense": total - table, "total": total}
