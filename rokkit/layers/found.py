"""What a search found of a history, and how an attention comes to it.

Symbols: B batch; T behaviours of a history; C fields of the item tuple; K behaviours found; n those
of them that are no padding, over the whole batch; d embedding; D = C·d; M is C or D; P width of an
attention's answer.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from rokkit.layers.attention import fixed_shapes

# (place, held), both [B, K]: places in a history, best first, of which a row has each but once;
# where none is held, a place means nothing.
Found = tuple[Int[Tensor, "B _"], Bool[Tensor, "B _"]]


def taken(history: Shaped[Tensor, "B T M"], found: Found) -> Shaped[Tensor, "B K M"]:
    """Ids or keys of what was found; 0 elsewhere."""
    place, held = found
    at = place[..., None].expand(-1, -1, history.shape[2])
    return history.gather(1, at) * held[..., None]


def chosen(found: Found, steps: int) -> Bool[Tensor, "B T"]:
    """Which of the T = `steps` behaviours are held."""
    place, held = found
    return held.new_zeros(held.shape[0], steps).scatter(1, place, held)


def best(scores: Float[Tensor, "B T"], found: Bool[Tensor, "B T"], k: int) -> Found:
    """Of the behaviours that are `found`, the `k` of highest score, best first.

    Equal scores: the newer first, so that the outcome is one. K is `k`, or T if that is less.
    """
    newest_first = scores.masked_fill(~found, -torch.inf).flip(1)
    ranked = newest_first.sort(dim=1, descending=True, stable=True).indices[:, :k]
    place = scores.shape[1] - 1 - ranked
    return place, found.gather(1, place)


def newest(found: Bool[Tensor, "B T"], k: int) -> Found:
    """Of the behaviours that are `found`, the `k` newest, newest first; K as above."""
    steps = torch.arange(found.shape[1], device=found.device)
    place = (steps + 1).mul(found).topk(min(k, len(steps)), dim=1).indices
    return place, found.gather(1, place)


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
        return [a(q, taken(keys, one), one[1]) for a, one in zip(attends, found, strict=True)]
    return [a(q, keys, chosen(one, keys.shape[1])) for a, one in zip(attends, found, strict=True)]


def picked(
    history: Int[Tensor, "B T C"], found: Sequence[Found]
) -> Int[Tensor, "n C"] | Int[Tensor, "B M C"]:
    """The ids found for each attention, to be looked up: one after the other, without padding.

    Where shapes are fixed, side by side, with padding.
    """
    ids = [taken(history, one) for one in found]
    if fixed_shapes(history):
        return torch.cat(ids, 1)
    return torch.cat([own[held] for own, (_, held) in zip(ids, found, strict=True)])


def attend_picked(
    attends: Sequence[Attends],
    q: Float[Tensor, "B D"],
    keys: Float[Tensor, "n D"] | Float[Tensor, "B M D"],
    found: Sequence[Found],
) -> list[Float[Tensor, "B P"]]:
    """What was found for each attention is attended to, where only that was looked up."""
    held = [one[1] for one in found]
    if fixed_shapes(keys):
        parts = torch.split(keys, [mask.shape[1] for mask in held], 1)
        return [a(q, own, mask) for a, own, mask in zip(attends, parts, held, strict=True)]
    places = [mask.flatten().nonzero().squeeze(1) for mask in held]
    parts = torch.split(keys, [len(place) for place in places])
    packed = zip(attends, parts, places, held, strict=True)
    return [a.packed(q, own, place, mask) for a, own, place, mask in packed]
