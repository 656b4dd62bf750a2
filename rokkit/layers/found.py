"""What a search found of a history, and how an attention comes to it.

Symbols: B batch; T behaviours of a history; C fields of the item tuple; K behaviours found; n those
of them that are no padding, over the whole batch; d embedding; D = C·d; M is C or D; P width of an
attention's answer.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from rokkit.layers.attention import fixed_shapes
from rokkit.layers.embedding import IdEmbedding


class Found(NamedTuple):
    """Places in a history, best first; where none is `held`, a place means nothing."""

    place: Int[Tensor, "B K"]  # a row has each but once
    held: Bool[Tensor, "B K"]

    def of(self, history: Shaped[Tensor, "B T M"]) -> Shaped[Tensor, "B K M"]:
        """Ids or keys of what was found; 0 elsewhere."""
        at = self.place[..., None].expand(-1, -1, history.shape[2])
        return history.gather(1, at) * self.held[..., None]


@runtime_checkable
class Attends(Protocol):
    """An attention over behaviours: `BehaviourAttention`, `HeadAttention`."""

    def __call__(
        self, q: Float[Tensor, "B D"], keys: Float[Tensor, "B K D"], mask: Bool[Tensor, "B K"]
    ) -> Float[Tensor, "B P"]:
        """Over the places where `mask` holds."""
        ...

    def packed(
        self,
        q: Float[Tensor, "B D"],
        k: Float[Tensor, "n D"],
        place: Int[Tensor, "n"],
        mask: Bool[Tensor, "B K"],
    ) -> Float[Tensor, "B P"]:
        """The same over behaviours that lie at `place` of the flattened mask."""
        ...


def attend_among(
    attends: Sequence[Attends],
    q: Float[Tensor, "B D"],
    keys: Float[Tensor, "B T D"],
    found: Sequence[Found],
) -> list[Float[Tensor, "B P"]]:
    """What was found for each attention is attended to, where keys of the whole history are."""
    if fixed_shapes(keys):  # else a unit would score all T
        return [a(q, one.of(keys), one.held) for a, one in zip(attends, found, strict=True)]
    nowhere = torch.zeros(keys.shape[:2], dtype=torch.bool, device=keys.device)
    masks = [nowhere.scatter(1, one.place, one.held) for one in found]
    return [a(q, keys, mask) for a, mask in zip(attends, masks, strict=True)]


def attend_looked_up(
    attends: Sequence[Attends],
    q: Float[Tensor, "B D"],
    history: Int[Tensor, "B T C"],
    found: Sequence[Found],
    embedding: IdEmbedding,
) -> list[Float[Tensor, "B P"]]:
    """The same where they are not: what was found, and no more, is looked up, all at once."""
    ids, held = [one.of(history) for one in found], [one.held for one in found]
    if fixed_shapes(history):
        keys = [embedding.of_history(one).flatten(2) for one in ids]
        return [a(q, k, mask) for a, k, mask in zip(attends, keys, held, strict=True)]
    places = [mask.flatten().nonzero().squeeze(1) for mask in held]
    own = [one.flatten(0, 1)[place] for one, place in zip(ids, places, strict=True)]
    packed = embedding.of_history(torch.cat(own)).flatten(1)
    parts = zip(attends, torch.split(packed, [len(one) for one in own]), places, held, strict=True)
    return [a.packed(q, k, place, mask) for a, k, place, mask in parts]
