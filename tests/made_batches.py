"""Small batches for tests of models: every tensor is made here, nothing is read."""

import dataclasses

import torch

from rokkit.data.batch import Batch
from rokkit.data.schema import Field, Schema

USERS, ITEMS, CATEGORIES, DAYS = 64, 30, 6, 4


def tiny_schema() -> Schema:
    """Fields: user, item, category (item tuple: the last two), day."""
    return Schema(
        name="tiny",
        fields=(
            Field(name="user", role="user", offset=1, size=USERS),
            Field(name="item", role="item", offset=65, size=ITEMS),
            Field(name="category", role="item", offset=95, size=CATEGORIES),
            Field(name="day", role="context", offset=101, size=DAYS),
        ),
        retrieval=("user", "item"),
    )


def tiny_batch(rows: int = 12, history: int = 6, k: int = 5, seed: int = 0) -> Batch:
    """Rows of distinct users, up to 64.

    Of every four rows one has an empty history, another a full one; of every three one has no
    neighbour, another all of them.
    """
    generator = torch.Generator().manual_seed(seed)

    def ids(*shape: int) -> torch.Tensor:
        """[*shape, F]: a random id of each field."""
        fields = tiny_schema().fields
        drawn = [torch.randint(f.offset, f.stop, shape, generator=generator) for f in fields]
        return torch.stack(drawn, -1).int()

    x = ids(rows)
    x[:, 0] = 1 + torch.arange(rows)
    row = torch.arange(rows)
    behaviours = torch.randint(1, history, (rows,), generator=generator)
    behaviours = behaviours.masked_fill(row % 4 == 1, 0).masked_fill(row % 4 == 2, history)
    found = torch.randint(1, k, (rows,), generator=generator)
    found = found.masked_fill(row % 3 == 0, 0).masked_fill(row % 3 == 1, k)
    mask = torch.arange(k) < found[:, None]
    kept = torch.arange(history) < behaviours[:, None]
    labels = torch.randint(0, 2, (rows, k), generator=generator).int()
    made = Batch(
        x=x,
        y=(torch.rand(rows, generator=generator) < 0.5).float(),
        history=ids(rows, history)[..., 1:3] * kept[..., None],
        neighbours=ids(rows, k) * mask[..., None],
        neighbour_labels=labels * mask,
        neighbour_mask=mask,
    )
    negatives = ids(rows, history)[..., 1:3] * kept[..., None]
    return dataclasses.replace(made, history_negatives=negatives)
