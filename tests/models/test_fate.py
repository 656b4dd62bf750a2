"""FATE against its equations by loops over a graph, and what a row sees of its batch."""

import dataclasses

import numpy as np
import pytest
import torch
from made_batches import tiny_batch

from rokkit.data.batch import Batch
from rokkit.data.schema import Field, Schema
from rokkit.errors import ConfigError
from rokkit.models import create_model, model_entry, parameter_counts

D, F = 3, 4  # embedding, fields


def fate(tiny, **config):
    """Without chance unless asked for."""
    torch.manual_seed(0)
    defaults = {"embed_dim": D, "hidden": (7, 5), "init_std": 0.7, "drop_edge": 0.0, "drop_id": 0.0}
    return create_model("fate", tiny.schema, **defaults | config)


def unit(vector):
    return vector / np.linalg.norm(vector)


def reference(model, x, dropped=(), to_sample=None, to_id=None):
    """(logits, v [B, F, d]) over the graph of all rows x, node by node.

    Ids in `dropped` begin at zero; the masks [B, F] say which edges a direction keeps.
    """
    n = {key: value.double().numpy() for key, value in model.state_dict().items()}
    rows = [[int(i) for i in row] for row in x]
    up = np.ones(x.shape) if to_sample is None else to_sample
    down = np.ones(x.shape) if to_id is None else to_id
    ids = {i for row in rows for i in row}
    e = {i: np.zeros(D) if i in dropped else n["embedding.weight"][i] for i in ids}
    a, b = n["backbone.first.bias"], n["backbone.second.bias"]
    s = []
    for t, row in enumerate(rows):
        heard = [e[i] for f, i in enumerate(row) if up[t, f]]
        s.append(unit(n["backbone.first.weight"] @ np.mean(heard or [np.zeros(D)], 0) + a))
    v = {}
    for i in ids:
        u = unit(n["backbone.first_own.weight"] @ e[i] + a)
        edges = [(t, f) for t, row in enumerate(rows) for f in range(F) if row[f] == i]
        heard = [s[t] for t, f in edges if down[t, f]]
        company = np.mean(heard or [np.zeros(D)], 0)
        v[i] = unit(n["backbone.second.weight"] @ company + n["backbone.second_own.weight"] @ u + b)
    logits = []
    for row in rows:
        m = np.concatenate([v[i] for i in row])
        for layer in (0, 2):
            w = n[f"backbone.head.hidden.{layer}.weight"]
            m = np.maximum(w @ m + n[f"backbone.head.hidden.{layer}.bias"], 0)
        logits.append(n["backbone.head.out.weight"][0] @ m + n["backbone.head.out.bias"][0])
    return np.array(logits), np.array([[v[i] for i in row] for row in rows])


def assert_is(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_in_training_it_is_its_equations_over_the_batch(tiny):
    model = fate(tiny)
    logits, v = reference(model, tiny.batch.x)
    assert_is(model(tiny.batch), logits)
    assert_is(model.backbone.represent(tiny.batch, model.embedding), v.reshape(len(v), -1))


def test_in_eval_mode_it_is_its_equations_over_each_sample_alone(tiny):
    model = fate(tiny, drop_edge=0.5, drop_id=0.5).eval()
    alone = [reference(model, tiny.batch.x[t : t + 1])[0][0] for t in range(len(tiny.batch))]
    assert_is(model(tiny.batch), alone)
    together, _ = reference(model, tiny.batch.x)
    assert not np.allclose(alone, together, rtol=1e-4, atol=1e-5)


def test_asked_to_it_predicts_from_the_graph_of_the_batch(tiny):
    model = fate(tiny, drop_edge=0.5, drop_id=0.5, graph="batch").eval()
    assert_is(model(tiny.batch), reference(model, tiny.batch.x)[0])


def test_dropped_edges_and_ids_are_those_of_its_equations(tiny, monkeypatch):
    # Kills one draw for both directions, a draw per place of an id, and a message sent along an
    # edge that is dropped.
    model, x = fate(tiny), tiny.batch.x
    generator = torch.Generator().manual_seed(1)
    by_node, to_sample, to_id = (torch.rand(x.shape, generator=generator) < 0.5 for _ in range(3))
    script = iter([by_node, to_sample, to_id])
    monkeypatch.setattr(model.backbone, "_kept", lambda like, dropped: next(script))
    held = sorted(set(x.flatten().tolist()))  # nodes are numbered in the order of ids
    dropped = {i for node, i in enumerate(held) if not by_node.flatten()[node]}
    assert 0 < len(dropped) < len(held)
    logits, _ = reference(model, x, dropped, to_sample.numpy(), to_id.numpy())
    assert_is(model(tiny.batch), logits)


def test_shares_are_dropped_as_set(tiny):
    model = fate(tiny)
    kept = model.backbone._kept(torch.zeros(400, 50), 0.2)
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert model.backbone._kept(torch.zeros(400, 50), 0.0).all()


@pytest.mark.parametrize("setting", ["drop_edge", "drop_id"])
def test_each_share_acts_in_training_only(tiny, setting):
    model = fate(tiny, **{setting: 0.5})
    assert not torch.equal(model(tiny.batch), model(tiny.batch))
    model.eval()
    assert torch.equal(model(tiny.batch), model(tiny.batch))


def test_without_chance_training_draws_nothing(tiny):
    # What the contract leans on where it compares two passes in training mode.
    model = create_model("fate", tiny.schema, **model_entry("fate").target.chance)
    assert torch.equal(model(tiny.batch), model(tiny.batch))
    model = create_model("fate", tiny.schema)
    assert not torch.equal(model(tiny.batch), model(tiny.batch))


def test_in_training_rows_that_share_an_id_hear_of_each_other(tiny):
    x = torch.tensor(
        [[1, 65, 95, 101], [2, 65, 96, 102], [3, 66, 97, 103], [4, 67, 98, 104]]
    ).int()  # rows 0 and 1 share an item, the others nothing
    other = x.clone()
    other[1, 0] = 5
    model = fate(tiny)
    changed = model(Batch(x=x)) != model(Batch(x=other))
    assert changed.tolist() == [True, True, False, False]
    model.eval()
    changed = model(Batch(x=x)) != model(Batch(x=other))
    assert changed.tolist() == [False, True, False, False]


def test_a_new_id_is_known_by_its_company(tiny):
    # Extrapolation: an id whose embedding is zero still differs between the samples it is in.
    model = fate(tiny).eval()
    with torch.no_grad():
        model.embedding.weight[65] = 0
    x = torch.tensor([[1, 65, 95, 101], [2, 65, 96, 102]]).int()
    v = model.backbone.represent(Batch(x=x), model.embedding).view(2, F, D)
    assert (v[0, 1] != v[1, 1]).all()


class OfTheBatch:
    """An embedding without a table: it makes up a vector for any id, and notes what is asked."""

    dim = D

    def __init__(self):
        self.asked = []

    def __call__(self, ids):
        self.asked.append(ids)
        return torch.stack([(ids * (k + 1.7)).sin() for k in range(D)], -1)

    def of_history(self, ids):
        raise AssertionError


@pytest.mark.parametrize("training", [True, False])
def test_only_the_ids_of_the_batch_are_propagated(training):
    # The trap: the public code passes the whole table through its layers at every step.
    field = [("user", "user"), ("item", "item"), ("category", "item"), ("day", "context")]
    size = 10**8
    schema = Schema(
        name="huge",
        fields=tuple(
            Field(name=name, role=role, offset=1 + i * size, size=size)
            for i, (name, role) in enumerate(field)
        ),
        retrieval=("user",),
    )
    entry = model_entry("fate")
    backbone = entry.target(schema, entry.meta["config"](embed_dim=D)).train(training)
    x = 1 + size * torch.arange(F) + torch.arange(6)[:, None]
    embedding = OfTheBatch()
    assert torch.isfinite(backbone(Batch(x=x.int()), embedding)).all()
    assert [asked.tolist() for asked in embedding.asked] == [x.tolist()]


def test_ids_may_be_many_times_in_a_batch_in_any_order(tiny):
    # Rows repeated and turned change no mean, so no logit.
    model, order = fate(tiny), torch.randperm(36)
    rows = torch.arange(12).repeat(3)[order]
    torch.testing.assert_close(
        model(tiny.batch.take(rows)), model(tiny.batch)[rows], rtol=1e-4, atol=1e-5
    )


def test_bf16_is_close_in_training_too(tiny):
    model, batch = fate(tiny, embed_dim=16), tiny_batch(64, seed=3)
    exact = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(batch)
    rough.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    spread = (exact.max() - exact.min()).item()
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.05 * spread)


def test_labels_are_not_read(tiny):
    # Rows hear of each other: no label may pass along an edge.
    model = fate(tiny)
    turned = dataclasses.replace(tiny.batch, y=1 - tiny.batch.y)
    assert torch.equal(model(turned), model(tiny.batch))


def test_half_of_the_edges_and_a_fifth_of_the_ids_are_dropped_by_default():
    config = model_entry("fate").meta["config"]()
    assert (config.drop_edge, config.drop_id, config.hidden) == (0.5, 0.2, (200, 80))


def test_it_has_as_many_parameters_as_documented():
    fields = tuple(
        Field(name=f"f{i}", role=role, offset=1 + 2 * i, size=2)
        for i, role in enumerate(["user", "item", *["context"] * 6])
    )
    schema = Schema(name="eight", fields=fields, retrieval=("f0",))
    assert parameter_counts(create_model("fate", schema))["dense"] == 43_017


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("drop_edge", 1.0),
        ("drop_edge", -0.1),
        ("drop_id", 1.0),
        ("drop_id", "some"),
        ("graph", "pool"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(tiny, setting, value):
    with pytest.raises(ConfigError, match=setting):
        create_model("fate", tiny.schema, **{setting: value})
