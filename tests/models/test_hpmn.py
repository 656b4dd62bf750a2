"""HPMN: what it remembers of whom, its penalty, its settings and its size."""

import dataclasses

import pytest
import torch

from rokkit.errors import ConfigError
from rokkit.layers import PeriodicMemory, slot_covariance
from rokkit.models import create_model, parameter_counts


@pytest.fixture
def hpmn(tiny):
    return create_model("hpmn", tiny.schema, init_std=0.5).eval()


def test_the_order_of_behaviours_matters(tiny, hpmn):
    full = tiny.batch.take(tiny.batch.history_mask.all(1).nonzero().squeeze(1))
    turned = dataclasses.replace(full, history=full.history.flip(1))
    assert (hpmn(turned) != hpmn(full)).all()


def test_memory_belongs_to_the_user_and_is_read_by_the_target(tiny, hpmn):
    # The same history under two targets is one memory, and two representations.
    seen = []
    hpmn.backbone.memory.register_forward_hook(lambda _, __, memory: seen.append(memory))
    moved = tiny.batch.x.clone()
    moved[:, 1] = 65 + (moved[:, 1] - 64) % 30  # the next item
    other = dataclasses.replace(tiny.batch, x=moved)
    phi, phi_other = (hpmn.backbone.represent(b, hpmn.embedding) for b in (tiny.batch, other))
    assert torch.equal(*seen)
    assert (phi != phi_other).any(1).all()


def test_a_user_without_behaviours_is_represented_by_the_query_alone(tiny, hpmn):
    empty = ~tiny.batch.history_mask.any(1)
    q = hpmn.embedding(tiny.batch.x[:, 1:3]).flatten(1)
    reader = hpmn.backbone.reader
    expected = reader.query(q)
    for _ in range(3):
        expected = reader.step(expected)
    phi = hpmn.backbone.represent(tiny.batch, hpmn.embedding)
    torch.testing.assert_close(phi[empty], expected[empty])


def test_the_penalty_is_the_mean_covariance_between_layers(tiny):
    # A mean: its weight means the same whatever the batch size.
    model = create_model("hpmn", tiny.schema, init_std=0.5, covariance_weight=0.1)
    seen = []
    model.backbone.memory.register_forward_hook(lambda _, __, memory: seen.append(memory))
    _, penalty = model.penalised(tiny.batch)
    torch.testing.assert_close(penalty, 0.1 * slot_covariance(seen[0]).mean())
    assert penalty > 0
    twice = tiny.batch.take(torch.arange(24) % 12)
    torch.testing.assert_close(model.penalised(twice)[1], penalty)


def test_training_on_the_penalty_makes_layers_differ(tiny):
    model = create_model("hpmn", tiny.schema, init_std=0.5, covariance_weight=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    before = model.penalised(tiny.batch)[1].item()
    for _ in range(30):
        optimizer.zero_grad()
        model.penalised(tiny.batch)[1].backward()
        optimizer.step()
    assert model.penalised(tiny.batch)[1].item() < before / 3


def test_no_weight_is_no_penalty(tiny):
    assert create_model("hpmn", tiny.schema, covariance_weight=0.0).penalised(tiny.batch)[1] is None


def test_users_without_behaviours_leave_gradients_finite(tiny):
    # The covariance of an empty memory is 0, where a norm has no slope.
    model = create_model("hpmn", tiny.schema)
    nobody = dataclasses.replace(tiny.batch, history=torch.zeros_like(tiny.batch.history))
    logits, penalty = model.penalised(nobody)
    (logits.sum() + penalty).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_layers_and_hops_are_as_set(tiny):
    model = create_model("hpmn", tiny.schema, periods=(2, 2, 5), hops=2, state_size=8)
    assert [gru.hidden_size for gru in model.backbone.memory.layers] == [8] * 4
    assert [gru.input_size for gru in model.backbone.memory.layers] == [32, 8, 8, 8]
    assert len(model.backbone.reader.scores) == 2
    steps = []
    for gru in model.backbone.memory.layers:
        gru.register_forward_hook(lambda _, inputs, __: steps.append(inputs[0].shape[1]))
    memory = model.backbone.memory
    assert isinstance(memory, PeriodicMemory)
    memory(torch.randn(2, 100, 32), torch.ones(2, 100).bool())
    assert steps == [100, 50, 25, 5]  # of a history of 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state_size", 0),
        ("periods", []),
        ("periods", [2, 1]),
        ("hops", 0),
        ("attention_hidden", []),
        ("attention_hidden", [80, 0]),
        ("covariance_weight", -0.1),
    ],
)
def test_out_of_range_is_refused(tiny, name, value):
    with pytest.raises(ConfigError, match=f"{name} is .*expected"):
        create_model("hpmn", tiny.schema, **{name: value})


def test_it_has_as_many_parameters_as_documented(tiny):
    d, h, fields = 2 * 16, 32, 4 * 16
    gru = 3 * h * (d + h + 2) + 2 * 3 * h * (2 * h + 2)
    reader = (d + 1) * h + h * h + 3 * (80 * 4 * h + 80 + 40 * 80 + 40 + 40)
    head = 200 * (h + fields + 1) + 80 * 201 + 81
    assert parameter_counts(create_model("hpmn", tiny.schema))["dense"] == gru + reader + head
