"""DIEN: its equations, what its history may and may not do, and the auxiliary loss as a switch."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

import rokkit.layers.recurrence as recurrence
import rokkit.layers.recurrent as recurrent
import rokkit.models.dien as dien_model
from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import create_model, model_entry, parameter_counts

D, F = 4, 4  # embedding, fields; an item tuple has two


def made(tiny, **config):
    torch.manual_seed(0)
    return create_model("dien", tiny.schema, **{"init_std": 0.5, "embed_dim": D} | config)


@pytest.fixture(params=["bilinear", "mlp"])
def dien(request, tiny):
    """DIEN with embeddings large enough for attention to differ between behaviours."""
    return made(tiny, attention=request.param)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def phi_by_hand(model, batch, row):
    """φ of one row by loops over its behaviours, without padding; bilinear attention."""
    n = {key: value.double().numpy() for key, value in model.state_dict().items()}
    table = n["embedding.weight"]
    own = [tuple(ids) for ids in batch.history[row].tolist() if ids[0]]
    width, states = model.backbone.config.state_dim, []
    h = np.zeros(width)
    for ids in own:  # torch's GRU: reset gate, the share that stays, candidate
        e = np.concatenate([table[i] for i in ids])
        from_e = n["backbone.gru.weight_ih_l0"] @ e + n["backbone.gru.bias_ih_l0"]
        from_h = n["backbone.gru.weight_hh_l0"] @ h + n["backbone.gru.bias_hh_l0"]
        (r_e, z_e, c_e), (r_h, z_h, c_h) = np.split(from_e, 3), np.split(from_h, 3)
        z = sigmoid(z_e + z_h)
        h = z * h + (1 - z) * np.tanh(c_e + sigmoid(r_e + r_h) * c_h)
        states.append(h)
    q = np.concatenate([table[batch.x[row, i]] for i in (1, 2)])
    scores = np.array([state @ n["backbone.attention.query.weight"] @ q for state in states])
    attention = np.exp(scores) / np.exp(scores).sum()
    h = np.zeros(width)
    for state, a in zip(states, attention, strict=True):
        entering = n["backbone.augru.entering.weight"] @ state + n["backbone.augru.entering.bias"]
        staying = n["backbone.augru.staying.weight"] @ h
        (u_i, r_i, c_i), (u_h, r_h, c_h) = np.split(entering, 3), np.split(staying, 3)
        u = a * sigmoid(u_i + u_h)
        h = (1 - u) * h + u * np.tanh(c_i + sigmoid(r_i + r_h) * c_h)
    return h


def test_phi_is_its_equations(tiny):
    # Kills states taken at padding, and a last place taken for the last behaviour.
    model = made(tiny, state_dim=5)
    phi = model.backbone.represent(tiny.batch, model.embedding).detach()
    expected = np.stack([phi_by_hand(model, tiny.batch, row) for row in range(len(tiny.batch))])
    np.testing.assert_allclose(phi, expected, rtol=1e-4, atol=1e-6)


def test_the_head_sees_phi_then_x(tiny):
    model = made(tiny)
    phi = model.backbone.represent(tiny.batch, model.embedding)
    x = model.embedding(tiny.batch.x).flatten(1)
    expected = model.backbone.head(torch.cat([phi, x], 1)).squeeze(1)
    assert torch.equal(model(tiny.batch), expected)


def test_a_user_without_behaviours_is_represented_by_zeros(tiny, dien):
    phi = dien.backbone.represent(tiny.batch, dien.embedding)
    empty = ~tiny.batch.history_mask.any(1)
    assert empty.any()
    assert torch.equal(phi.any(1), ~empty)


def test_padding_changes_no_state(tiny, dien):
    # Each row by itself, cut to its own behaviours, is what it is among longer ones.
    dien.eval()
    whole = dien.backbone.represent(tiny.batch, dien.embedding)
    for row, count in enumerate(tiny.batch.history_mask.sum(1).tolist()):
        one = tiny.batch.take(slice(row, row + 1))
        cut = dataclasses.replace(one, history=one.history[:, : max(count, 1)])
        phi = dien.backbone.represent(cut, dien.embedding)
        torch.testing.assert_close(phi[0], whole[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attention", ["bilinear", "mlp"])
@pytest.mark.parametrize("aux_weight", [0.0, 1.0])
def test_what_is_packed_by_loops_is_what_torch_makes_of_padding(
    tiny, monkeypatch, attention, aux_weight
):
    model = made(tiny, attention=attention, aux_weight=aux_weight)

    def learnt():
        logits, penalty = model.penalised(tiny.batch)
        loss = (logits * torch.linspace(-1, 1, len(logits))).sum() + (penalty or 0)
        return logits, torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)

    found, gradients = learnt()
    for module in (dien_model, recurrence, recurrent):
        monkeypatch.setattr(module, "loops_apply", lambda tensor: False)
    expected, expected_gradients = learnt()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_order_of_behaviours_matters(tiny, dien):
    full = tiny.batch.take(tiny.batch.history_mask.all(1).nonzero().squeeze(1))
    turned = dataclasses.replace(full, history=full.history.flip(1))
    found, other = (dien.eval().backbone.represent(b, dien.embedding) for b in (full, turned))
    assert (found != other).any(1).all()


def test_attention_looks_at_the_item_tuple_alone(tiny, dien):
    dien.eval()
    before = dien.backbone.represent(tiny.batch, dien.embedding)
    several = tiny.batch.history_mask.sum(1) > 1
    for column, expected in ((0, False), (1, True), (2, True), (3, False)):
        moved = tiny.batch.x.clone()
        field = tiny.schema.fields[column]
        moved[:, column] = field.offset + (moved[:, column] - field.offset + 1) % field.size
        phi = dien.backbone.represent(dataclasses.replace(tiny.batch, x=moved), dien.embedding)
        assert ((phi - before).abs() > 1e-6).any(1)[several].all().item() is expected


@pytest.mark.parametrize(
    ("config", "extra"),
    [({}, 0), ({"state_dim": 7}, 0), ({"aux_weight": 1.0}, 1)],
)
def test_the_number_of_parameters_is_the_documented_one(tiny, config, extra):
    h, d = config.get("state_dim", 32), 2 * D
    head = (h + F * D) * 200 + 200 + 200 * 80 + 80 + 80 + 1
    auxiliary = extra * (100 * (h + d + 1) + 5101)
    expected = 3 * h * (d + h + 2) + d * h + 3 * h * (2 * h + 1) + head + auxiliary
    assert parameter_counts(made(tiny, **config))["dense"] == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"state_dim": 0}, "state_dim is 0; expected at least 1"),
        ({"aux_weight": -0.1}, "aux_weight is -0.1; expected at least 0"),
        ({"aux_weight": float("nan")}, "aux_weight is nan"),
        ({"aux_weight": float("inf")}, "aux_weight is inf"),
        ({"attention": "milp"}, "Did you mean 'mlp'"),
        ({"attention_hidden": ()}, "attention_hidden is .* at least one width"),
        ({"attention_hidden": (8, 0)}, "widths of at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(tiny, config, message):
    with pytest.raises(ConfigError, match=message):
        made(tiny, **config)


def with_base(tiny, **config):
    torch.manual_seed(0)
    base = KnowledgeBase(tiny.schema, KnowledgeBaseConfig(hidden=(12,), init_std=0.3), 7)
    return with_knowledge("dien", tiny.schema, base, UseConfig(), init_std=0.5, **config)


@pytest.fixture(params=["plain", "rok"])
def aux(request, tiny):
    """DIEN with its auxiliary loss, by itself and with a knowledge base."""
    if request.param == "plain":
        return made(tiny, aux_weight=0.5)
    return with_base(tiny, aux_weight=0.5)


def test_the_auxiliary_loss_asks_for_negatives_and_its_absence_does_not(tiny, aux):
    assert aux.needs == {"history", "history_negatives"}
    assert made(tiny).needs == model_entry("dien").target.needs == {"history"}
    assert made(tiny).penalised(tiny.batch)[1] is None
    assert not any("next" in name for name in made(tiny).state_dict())
    without = dataclasses.replace(tiny.batch, history_negatives=None)
    with pytest.raises(ConfigError, match=r"no history_negatives.*needs=model.needs"):
        aux.penalised(without)


@pytest.mark.parametrize("on_history", [True, False])
def test_negatives_see_of_a_knowledge_base_what_histories_may_show(tiny, on_history):
    # Kills negatives that are told from behaviours by where they were looked up.
    torch.manual_seed(0)
    base = KnowledgeBase(tiny.schema, KnowledgeBaseConfig(hidden=(12,), init_std=0.3), 7)
    use = UseConfig(manner="feature", on_history=on_history)
    model = with_knowledge("dien", tiny.schema, base, use, init_std=0.5, aux_weight=1.0)
    before = model.penalised(tiny.batch)[1]
    with torch.no_grad():
        model.base.f.weight[1:] += 3
    assert (model.penalised(tiny.batch)[1] != before).item() == on_history


def test_predictions_do_without_negatives(tiny, aux):
    without = dataclasses.replace(tiny.batch, history_negatives=None)
    aux.eval()
    assert torch.equal(aux(without), aux.penalised(tiny.batch)[0])


def test_the_penalty_is_the_weighted_loss_of_the_states(tiny):
    model, double = made(tiny, aux_weight=0.5), made(tiny, aux_weight=1.0)
    penalty = model.penalised(tiny.batch)[1]
    assert torch.equal(2 * penalty, double.penalised(tiny.batch)[1])
    keys, negatives = (
        model.embedding(ids).flatten(2)
        for ids in (tiny.batch.history, tiny.batch.history_negatives)
    )
    states = model.backbone.gru(keys)
    loss = model.backbone.next(states, keys, negatives, tiny.batch.history_mask)
    torch.testing.assert_close(penalty, 0.5 * loss)
    assert loss.item() == pytest.approx(2 * np.log(2), rel=0.2)  # nothing is learnt yet


def test_the_penalty_is_a_mean_over_pairs_of_behaviours(tiny, aux):
    # So a batch split anywhere adds up; padding counts nowhere.
    def pairs(batch):
        return (batch.history_mask.sum(1) - 1).clamp(min=0).sum()

    whole = aux.penalised(tiny.batch)[1] * pairs(tiny.batch)
    halves = [tiny.batch.take(slice(0, 5)), tiny.batch.take(slice(5, 12))]
    torch.testing.assert_close(sum(aux.penalised(b)[1] * pairs(b) for b in halves), whole)
    longer = {
        part: functional.pad(getattr(tiny.batch, part), (0, 0, 0, 3))
        for part in ("history", "history_negatives")
    }
    padded = dataclasses.replace(tiny.batch, **longer)
    torch.testing.assert_close(aux.penalised(padded)[1], aux.penalised(tiny.batch)[1])
    empty = tiny.batch.take((~tiny.batch.history_mask.any(1)).nonzero().squeeze(1))
    assert aux.penalised(empty)[1] == 0


def test_each_negative_but_the_first_of_a_history_is_read(tiny, aux):
    # The first behaviour has no state before it that could tell it.
    before = aux.penalised(tiny.batch)[1]
    row = int(tiny.batch.history_mask.all(1).nonzero()[0])
    for t in range(tiny.batch.history.shape[1]):
        other = tiny.batch.history_negatives.clone()
        other[row, t, 0] = 65 + (other[row, t, 0] - 64) % 30
        changed = dataclasses.replace(tiny.batch, history_negatives=other)
        assert (aux.penalised(changed)[1] != before).item() is (t > 0)


def test_every_parameter_gets_a_gradient_from_the_whole_loss(tiny):
    for attention in ("bilinear", "mlp"):
        model = made(tiny, aux_weight=1.0, attention=attention)
        logits, penalty = model.penalised(tiny.batch)
        functional.binary_cross_entropy_with_logits(logits, tiny.batch.y).add(penalty).backward()
        assert all(p.grad.any() for p in model.parameters())


def test_the_auxiliary_loss_teaches_the_embeddings_and_the_first_recurrence_alone(tiny):
    model = made(tiny, aux_weight=1.0)
    model.penalised(tiny.batch)[1].backward()
    moved = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"weight", "gru", "next"}


def test_training_on_the_auxiliary_loss_tells_what_comes_next(tiny):
    # Kills a loss with positives and negatives exchanged, which also falls, by looking at n.
    model = made(tiny, aux_weight=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        model.penalised(tiny.batch)[1].backward()
        optimizer.step()
    with torch.no_grad():
        net, mask = model.backbone.next, tiny.batch.history_mask[:, 1:]
        keys = model.embedding(tiny.batch.history).flatten(2)
        state = net.state(model.backbone.gru(keys)[:, :-1])
        right, wrong = (
            net.rest(state + net.behaviour(model.embedding(ids).flatten(2)[:, 1:]))[..., 0][mask]
            for ids in (tiny.batch.history, tiny.batch.history_negatives)
        )
        assert model.penalised(tiny.batch)[1] < 0.5  # from 1.4
    assert right.mean() > 1
    assert wrong.mean() < -1


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("attention", ["bilinear", "mlp"])
def test_the_switches_run_on_meta_tensors_and_in_bf16(tiny, attention, training):
    model = made(tiny, aux_weight=1.0, attention=attention).train(training)
    logits, penalty = model.penalised(tiny.batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough, rough_penalty = model.penalised(tiny.batch)
    spread = (logits.max() - logits.min()).item()
    torch.testing.assert_close(rough.float(), logits, rtol=0, atol=0.05 * spread)
    assert rough_penalty.item() == pytest.approx(penalty.item(), rel=0.02)
    logits, penalty = model.to("meta").penalised(tiny.batch.to("meta"))
    assert logits.is_meta
    assert penalty.is_meta


@pytest.mark.parametrize("training", [True, False])
def test_more_padding_changes_nothing_for_the_activation_unit(tiny, training):
    model = made(tiny, attention="mlp").train(training)
    longer = functional.pad(tiny.batch.history, (0, 0, 0, 3))
    found = model(dataclasses.replace(tiny.batch, history=longer))
    torch.testing.assert_close(found, model(tiny.batch), rtol=1e-5, atol=1e-6)
