"""MIMN with and without its switches: its representation, its penalty, its settings and size."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.layers import attention, usage_variance
from rokkit.models import create_model, parameter_counts

SWITCHES = {
    "plain": {},
    "utilisation": {"utilisation": True},
    "induction": {"induction": True},
    "both": {"utilisation": True, "induction": True},
}


@pytest.fixture(params=SWITCHES.values(), ids=SWITCHES)
def mimn(request, tiny):
    """Embeddings large enough for slots to be told apart."""
    torch.manual_seed(0)
    return create_model("mimn", tiny.schema, init_std=0.5, **request.param)


def test_phi_is_behaviours_what_is_held_and_what_was_added(tiny, mimn):
    backbone, lookup = mimn.eval().backbone, mimn.embedding
    behaviours = lookup(tiny.batch.history).flatten(2)
    q = lookup(tiny.batch.x[:, 1:3]).flatten(1)
    state = backbone.memory(behaviours, tiny.batch.history_mask)
    phi = backbone.represent(tiny.batch, lookup)
    torch.testing.assert_close(phi[:, :32], behaviours.sum(1))
    torch.testing.assert_close(phi[:, 32:64], backbone.memory.recall(q, state))
    torch.testing.assert_close(phi[:, 64:96], state.added / 4 * q)
    if backbone.attention is None:
        assert phi.shape[1] == 96
    else:
        weights = backbone.attention.unit(
            q, state.channels.flatten(0, 1), torch.arange(12).repeat_interleave(4)
        )
        attended = (weights.view(12, 4, 1).softmax(1) * state.channels).sum(1)
        torch.testing.assert_close(phi[:, 96:], attended)


def test_a_user_without_behaviours_has_added_nothing(tiny, mimn):
    empty = ~tiny.batch.history_mask.any(1)
    phi = mimn.backbone.represent(tiny.batch, mimn.embedding)[empty]
    assert not phi[:, :32].any()
    assert not phi[:, 64:].any()
    assert phi[:, 32:64].any(1).all()  # the memory that all begin with


def test_the_order_of_behaviours_matters(tiny, mimn):
    full = tiny.batch.take(tiny.batch.history_mask.all(1).nonzero().squeeze(1))
    turned = dataclasses.replace(full, history=full.history.flip(1))
    assert (mimn.eval()(turned) != mimn(full)).all()


def test_the_user_is_not_forgotten(tiny, mimn):
    # UBR4CTR's head sees the target's item alone.
    other = tiny.batch.x.clone()
    other[:, 0] = other[:, 0].roll(1)
    assert (mimn.eval()(dataclasses.replace(tiny.batch, x=other)) != mimn(tiny.batch)).all()


@pytest.mark.parametrize("training", [True, False])
def test_padding_writes_nothing(tiny, mimn, training):
    padding = tiny.batch.history.new_zeros(12, 3, 2)
    longer = torch.cat([tiny.batch.history, padding], 1)
    mimn.train(training)
    found = mimn.penalised(dataclasses.replace(tiny.batch, history=longer))
    torch.testing.assert_close(found, mimn.penalised(tiny.batch), rtol=1e-5, atol=1e-6)


def test_users_without_behaviours_change_nothing_for_others_in_training(tiny, mimn):
    # Kills slots that nobody wrote to in the statistics of the attention over them.
    someone = tiny.batch.take(tiny.batch.history_mask.any(1).nonzero().squeeze(1))
    held = tiny.batch.history_mask.any(1)
    assert not held.all()
    torch.testing.assert_close(mimn(tiny.batch)[held], mimn(someone), rtol=1e-5, atol=1e-6)


def test_every_parameter_gets_a_gradient(tiny, mimn):
    logits, penalty = mimn.penalised(tiny.batch)
    loss = functional.binary_cross_entropy_with_logits(logits, tiny.batch.y)
    (loss if penalty is None else loss + penalty).backward()
    for name, parameter in mimn.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_row_does_not_depend_on_its_batch_in_eval_mode(tiny, mimn):
    whole = mimn.eval()(tiny.batch)
    alone = torch.cat([mimn(tiny.batch.take(slice(i, i + 1))) for i in range(12)])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)


def test_users_without_behaviours_leave_gradients_finite(tiny, mimn):
    nobody = dataclasses.replace(tiny.batch, history=torch.zeros_like(tiny.batch.history))
    logits, penalty = mimn.penalised(nobody)
    (logits.sum() + (0 if penalty is None else penalty)).backward()
    assert all(torch.isfinite(p.grad).all() for p in mimn.parameters() if p.grad is not None)


def test_it_runs_on_meta_tensors(tiny, mimn):
    logits, penalty = mimn.to("meta").penalised(tiny.batch.to("meta"))
    assert logits.is_meta
    assert penalty is None or penalty.is_meta


def test_switches_are_saved_with_what_they_need(tiny, mimn):
    # The memory that users begin with is random and not trained: it has to be among the weights.
    state = mimn.state_dict()
    assert "backbone.memory.start" in state
    other = create_model(
        "mimn", tiny.schema, **{
            name: getattr(mimn.backbone.config, name) for name in ("utilisation", "induction")
        },
    )  # fmt: skip
    other.load_state_dict(state)
    assert torch.equal(other.eval()(tiny.batch), mimn.eval()(tiny.batch))


def test_packing_changes_nothing_with_the_induction_unit(tiny, monkeypatch):
    found = []
    for fixed in (False, True):
        monkeypatch.setattr(attention, "fixed_shapes", lambda _, fixed=fixed: fixed)
        torch.manual_seed(0)
        found.append(create_model("mimn", tiny.schema, init_std=0.5, induction=True)(tiny.batch))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_the_penalty_is_the_mean_variance_of_usage(tiny):
    model = create_model(
        "mimn", tiny.schema, init_std=0.5, utilisation=True, utilisation_weight=0.1
    )
    behaviours = model.embedding(tiny.batch.history).flatten(2)
    usage = model.backbone.memory(behaviours, tiny.batch.history_mask).usage
    _, penalty = model.penalised(tiny.batch)
    torch.testing.assert_close(penalty, 0.1 * usage_variance(usage).mean())
    twice = tiny.batch.take(torch.arange(24) % 12)
    torch.testing.assert_close(model.penalised(twice)[1], penalty)


def test_what_spreads_writes_learns_to_even_out_usage(tiny):
    # By the penalty's gradient, of which the rest of the memory gets part of the truth only.
    torch.manual_seed(0)
    model = create_model("mimn", tiny.schema, init_std=0.5, utilisation=True, utilisation_weight=1)
    optimizer = torch.optim.Adam(model.backbone.memory.spreading.parameters(), lr=0.02)
    before = model.penalised(tiny.batch)[1].item()
    for _ in range(30):
        optimizer.zero_grad()
        model.penalised(tiny.batch)[1].backward()
        optimizer.step()
    assert model.penalised(tiny.batch)[1].item() < before / 3


@pytest.mark.parametrize("config", [{}, {"utilisation": True, "utilisation_weight": 0.0}])
def test_no_weight_is_no_penalty(tiny, config):
    assert create_model("mimn", tiny.schema, **config).penalised(tiny.batch)[1] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slots", 1),
        ("state_size", 0),
        ("utilisation_weight", -1.0),
        ("attention_hidden", []),
        ("attention_hidden", [0]),
    ],
)
def test_out_of_range_is_refused(tiny, name, value):
    with pytest.raises(ConfigError, match=f"{name} is .*expected"):
        create_model("mimn", tiny.schema, **{name: value})


def test_it_has_as_many_parameters_as_documented(tiny):
    d, h, slots, fields = 2 * 16, 32, 4, 4 * 16
    memory = 3 * h * (2 * d + h + 2) + (h + 1) * (4 * d + 2) + (h + d + 1) * h + (slots + 1) * d
    head = 200 * (2 * d + h + fields + 1) + 80 * 201 + 81
    assert parameter_counts(create_model("mimn", tiny.schema))["dense"] == memory + head
