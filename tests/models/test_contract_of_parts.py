"""How every registered model reads the optional parts of a batch: histories and neighbours."""

import dataclasses
import sys

import pytest
import torch
from made_models import KINDS, System, Tiny, as_it_is, each, still, with_switches
from torch import Tensor

from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.errors import ConfigError
from rokkit.models import model_entry

SYSTEMS = as_it_is(*KINDS) + with_switches("plain", "both-fix")
HISTORIES = ("history", "history_negatives")
NEIGHBOURS = ("neighbours", "neighbour_labels", "neighbour_mask")
# What each model makes of behaviours in another order, of histories that fit whole into all it
# keeps of them: memories and recurrences differ, means and attention do not.
ORDERED = {
    **dict.fromkeys(("dien", "hpmn", "mimn"), True),
    **dict.fromkeys(("deepfm", "din", "sim", "ubr"), False),
}


def reading(*parts: str, uses: tuple[str, ...] = KINDS) -> list[System]:
    """The systems that read one of these parts of a batch."""
    return [s for s in SYSTEMS if s.use in uses and any(s.reads(part) for part in parts)]


def padded(batch: Batch, parts: tuple[str, ...]) -> Batch:
    """The batch with three places more of zeros at the end of each of its `parts`."""
    held = {part: getattr(batch, part) for part in parts}
    more = {part: torch.cat([t, torch.zeros_like(t[:, :3])], 1) for part, t in held.items()}
    return dataclasses.replace(batch, **more)


def answers(system: System, schema: Schema, batch: Batch, training: bool) -> list[Tensor]:
    """A fresh model's logits, and its penalty if it has one."""
    model = system.make(schema, init_std=0.3, **still(system.name)).train(training)
    torch.manual_seed(0)
    return [found for found in model.penalised(batch) if found is not None]


def over_shared_ids(system: System) -> bool:
    """Whether what shares no id with the target cannot reach it."""
    return getattr(model_entry(system.name).target, "over_shared_ids", False)


def check_the_same(system: System, tiny: Tiny, longer: Batch, training: bool) -> None:
    """Answers for `longer` are those for the batch itself."""
    found, expected = (answers(system, tiny.schema, b, training) for b in (longer, tiny.batch))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


both_modes = pytest.mark.parametrize("training", [True, False])


@both_modes
@each(reading("history"))
def test_more_padding_after_a_history_changes_nothing(
    tiny: Tiny, system: System, training: bool
) -> None:
    # In training mode too: padding must enter neither BatchNorm's statistics nor a penalty.
    check_the_same(system, tiny, padded(tiny.batch, HISTORIES), training)


@each(reading("history", uses=("plain",)))
def test_a_history_is_read(tiny: Tiny, system: System) -> None:
    model = system.make(tiny.schema, init_std=0.3).eval()
    emptied = dataclasses.replace(tiny.batch, history=torch.zeros_like(tiny.batch.history))
    changed = model(emptied) != model(tiny.batch)
    reached = tiny.batch.history_mask
    if over_shared_ids(system):
        target = tiny.batch.x[:, None, list(tiny.schema.item_columns)]
        reached = reached & (tiny.batch.history == target).any(2)
    assert torch.equal(changed, reached.any(1))


@both_modes
@each(reading("neighbours"))
def test_more_padding_after_neighbours_changes_nothing(
    tiny: Tiny, system: System, training: bool
) -> None:
    check_the_same(system, tiny, padded(tiny.batch, NEIGHBOURS), training)


@both_modes
@each(reading("neighbours"))
def test_what_lies_in_masked_neighbours_is_not_looked_at(
    tiny: Tiny, system: System, training: bool
) -> None:
    mask = tiny.batch.neighbour_mask
    noise = torch.full_like(tiny.batch.neighbours, 7)
    scrambled = dataclasses.replace(
        tiny.batch,
        neighbours=torch.where(mask[..., None], tiny.batch.neighbours, noise),
        neighbour_labels=torch.where(mask, tiny.batch.neighbour_labels, 1),
    )
    found, expected = (answers(system, tiny.schema, b, training) for b in (scrambled, tiny.batch))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@each(reading("neighbours", uses=("plain",)))
def test_neighbours_and_their_labels_are_read(tiny: Tiny, system: System) -> None:
    model = system.make(tiny.schema, init_std=0.3).eval()
    labels = dataclasses.replace(tiny.batch, neighbour_labels=1 - tiny.batch.neighbour_labels)
    reached = tiny.batch.neighbour_mask
    if over_shared_ids(system):
        reached = reached & (tiny.batch.neighbours == tiny.batch.x[:, None]).any(2)
    found = reached.any(1)
    assert torch.equal(model(labels) != model(tiny.batch), found)
    rows = dataclasses.replace(tiny.batch, neighbours=tiny.batch.neighbours.roll(1, 0))
    assert (model(rows) != model(tiny.batch))[found].any()


@each([s for s in SYSTEMS if s.use == "plain"])
def test_parts_that_are_not_needed_are_not_read(tiny: Tiny, system: System) -> None:
    parts = {"history": "history", "history_negatives": "history_negatives"}
    parts |= dict.fromkeys(NEIGHBOURS, "neighbours")
    unused = [part for part, need in parts.items() if not system.reads(need)]
    bare = dataclasses.replace(tiny.batch, **dict.fromkeys(unused))
    found, expected = (answers(system, tiny.schema, b, True) for b in (bare, tiny.batch))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@each(reading("history", "neighbours", uses=("plain", "both-fix")))
def test_a_batch_without_what_is_needed_is_refused(tiny: Tiny, system: System) -> None:
    model = system.make(tiny.schema)
    (need,) = model.needs - {"history_negatives"}  # which no prediction needs
    with pytest.raises(ConfigError, match=f"no {need}.*needs=model.needs"):
        model(dataclasses.replace(tiny.batch, **{need: None}))


@both_modes
@each(reading("neighbours"))
def test_the_order_of_neighbours_does_not_matter(
    tiny: Tiny, system: System, training: bool
) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = {part: getattr(tiny.batch, part)[:, order] for part in NEIGHBOURS}
    other = dataclasses.replace(tiny.batch, **turned)
    found, expected = (answers(system, tiny.schema, b, training) for b in (other, tiny.batch))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_every_model_that_reads_histories_says_whether_their_order_matters() -> None:
    assert {system.name for system in reading("history")} == set(ORDERED)


@both_modes
@each(reading("history"))
def test_the_order_of_behaviours_matters_where_it_should(
    tiny: Tiny, system: System, training: bool
) -> None:
    full = tiny.batch.take(tiny.batch.history_mask.all(1).nonzero().squeeze(1))
    turned = dataclasses.replace(full, history=full.history.flip(1))
    found, expected = (
        system.make(tiny.schema, init_std=0.5, **still(system.name)).train(training)(batch)
        for batch in (turned, full)
    )
    change = (found - expected).abs() / expected.abs().max()
    assert (change > 1e-5).all() if ORDERED[system.name] else (change < 1e-5).all()


# SIM and UBR choose among behaviours, the newest where they have to: in words of their own.
@pytest.mark.parametrize("name", sorted(set(ORDERED) - {"sim", "ubr"}))
def test_its_docstring_says_whether_the_order_of_behaviours_matters(name: str) -> None:
    said = " ".join(sys.modules[model_entry(name).target.__module__].__doc__.split()).casefold()
    assert ("the order of behaviours matters." in said) is ORDERED[name]
    assert ("the order of behaviours does not matter." in said) is not ORDERED[name]
