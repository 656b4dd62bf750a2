"""rokkit.serving.one_row: the same answers, in fewer calls."""

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_batches import tiny_batch, tiny_schema
from test_programs import base_of
from torch import nn

import rokkit.serving.one_row as one_row
from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeModel, UseConfig, with_knowledge
from rokkit.models import parameter_counts
from rokkit.serving.folded import folded
from rokkit.serving.one_row import JoinedTables, QuickLayers


def layers_of(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    torch.manual_seed(sum(widths))
    made: list[nn.Module] = []
    for n, m in pairwise(widths):
        made += [nn.Linear(n, m), nn.ReLU()]
    return nn.Sequential(*made[:-1]).requires_grad_(False)


@given(st.lists(st.integers(1, 19), min_size=2, max_size=5), st.integers(0, 9))
def test_one_row_is_what_the_layers_make_of_it(widths: list[int], seed: int) -> None:
    """Kills: weights across, a layer's bias left out, ReLU at the end, rows of four that miss."""
    layers = layers_of(widths)
    x = torch.randn(1, widths[0], generator=torch.Generator().manual_seed(seed))
    found = QuickLayers(layers)(x)
    assert found.shape == (1, widths[-1])
    torch.testing.assert_close(found, layers(x), rtol=1e-5, atol=1e-5)


def test_inputs_of_zero_are_left_out_and_leave_the_biases() -> None:
    layers = layers_of([6, 5, 3])
    layers[0].bias.fill_(-1.0)  # so that ReLU lets nothing through
    zeros = torch.zeros(1, 6)
    torch.testing.assert_close(QuickLayers(layers)(zeros), layers[2].bias[None])


def test_a_number_that_is_none_is_not_hidden() -> None:
    assert QuickLayers(layers_of([4, 3, 2]))(torch.full((1, 4), torch.nan)).isnan().all()


def test_only_single_rows_take_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = QuickLayers(layers_of([4, 3, 2]))
    monkeypatch.setattr("rokkit.serving.chain_kernel.answer", lambda *_: pytest.fail("looped"))
    for rows in (0, 2):
        assert quick(torch.randn(rows, 4)).shape == (rows, 2)
    with pytest.raises(pytest.fail.Exception, match="looped"):
        quick(torch.randn(1, 4))
    monkeypatch.setattr(one_row, "loops_apply", lambda tensor: False)
    assert quick(torch.randn(1, 4)).shape == (1, 2)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 2))
def test_ids_are_looked_up_on_the_way(ids: list[int], first: int) -> None:
    """Kills: columns of the other table read, fields in another order."""
    table = torch.randn(7, first + 3, generator=torch.Generator().manual_seed(first))
    layers, x = layers_of([3 * len(ids), 5, 2]), torch.tensor([ids], dtype=torch.int32)
    found = QuickLayers(layers).of_ids(table.numpy(), x, first)
    expected = layers(table[x.long()][..., first:].flatten(1))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wrong", [-1, 7])
def test_an_id_that_is_no_row_is_refused(wrong: int) -> None:
    quick, table = QuickLayers(layers_of([4, 2])), torch.randn(7, 2).numpy()
    with pytest.raises(IndexError, match=rf"\[3, {wrong}\]\] are no rows of a table of 7 ids"):
        quick.of_ids(table, torch.tensor([[3, wrong]], dtype=torch.int32), 0)


def knowing(manner: str, **use: Any) -> KnowledgeModel:
    torch.manual_seed(0)
    settings = {"embed_dim": 5, "hidden": (6,), "init_std": 0.5}
    how = UseConfig(manner=manner, **use)
    return with_knowledge("deepfm", tiny_schema(), base_of(), how, history=True, **settings)


@pytest.mark.parametrize(
    ("manner", "use", "joined"),
    [
        ("feature", {}, True),
        ("both", {}, True),
        ("instance", {}, False),
        ("both", {"on_history": False}, False),
    ],
)
def test_tables_are_joined_where_f_joins_every_embedding(
    manner: str, use: dict[str, bool], joined: bool
) -> None:
    model, batch = knowing(manner, **use), tiny_batch(7)
    made = folded(model)
    assert isinstance(made, JoinedTables) == joined
    for rows in (batch, batch.take(slice(2, 3))):
        torch.testing.assert_close(made(rows), model.eval()(rows), rtol=1e-5, atol=1e-6)
    if joined:
        held, table = parameter_counts(made), parameter_counts(model)["table"]
        assert held["table"] == table  # own and f, side by side and nowhere else
        assert np.shares_memory(made._table, made.embedding.weight.numpy())  # nor for one row
        assert made.needs == model.needs == {"history"}


def test_z_may_come_with_the_batch() -> None:
    made, batch = folded(knowing("both")), tiny_batch(4)
    z = torch.randn(4, 5)
    given_z = dataclasses.replace(batch, extra=z)
    torch.testing.assert_close(made(given_z), knowing("both").eval()(given_z))
    assert not torch.equal(made(given_z), made(batch))


@pytest.mark.parametrize("use", [UseConfig(manner="feature"), UseConfig(update="g")])
def test_what_comes_with_the_batch_is_no_z_where_z_is_none_or_changes(use: UseConfig) -> None:
    model, batch = knowing(use.manner, update=use.update).eval(), tiny_batch(4)
    with_more = dataclasses.replace(batch, extra=torch.randn(4, 5))
    assert torch.equal(folded(model)(with_more), folded(model)(batch))
    torch.testing.assert_close(folded(model)(with_more), model(with_more), rtol=1e-5, atol=1e-6)


def test_a_batch_without_histories_is_refused() -> None:
    made, batch = folded(knowing("feature")), tiny_batch(4)
    with pytest.raises(ConfigError, match="no history"):
        made(dataclasses.replace(batch, history=None))
