"""DIN: what its representation is, and what its history may and may not do."""

import dataclasses

import pytest
import torch

from rokkit.layers import attention
from rokkit.models import create_model, parameter_counts


@pytest.fixture(params=[False, True], ids=["unit", "bilinear"])
def din(request, tiny):
    """DIN with embeddings large enough for attention to differ between behaviours."""
    return create_model("din", tiny.schema, init_std=0.5, bilinear=request.param)


def test_a_user_without_behaviours_is_represented_by_zeros(tiny, din):
    phi = din.backbone.represent(tiny.batch, din.embedding)
    empty = ~tiny.batch.history_mask.any(1)
    assert empty.any()
    assert torch.equal(phi.any(1), ~empty)


def test_one_behaviour_is_its_own_representation(tiny, din):
    # Attention over one behaviour has nothing to choose: φ is that item tuple's embedding.
    batch = dataclasses.replace(tiny.batch, history=tiny.batch.history[:, :1])
    phi = din.backbone.represent(batch, din.embedding)
    torch.testing.assert_close(phi, din.embedding(batch.history[:, 0]).flatten(1))


def test_a_repeated_behaviour_is_its_own_representation(tiny, din):
    repeated = tiny.batch.history[:, :1].expand(-1, 4, -1)
    phi = din.backbone.represent(dataclasses.replace(tiny.batch, history=repeated), din.embedding)
    torch.testing.assert_close(phi, din.embedding(repeated[:, 0]).flatten(1))


@pytest.mark.parametrize("training", [True, False])
def test_the_order_of_behaviours_does_not_matter(tiny, din, training):
    # DIN has no positions. Only full histories: padding stays after the last behaviour.
    full = tiny.batch.take(tiny.batch.history_mask.all(1).nonzero().squeeze(1))
    turned = dataclasses.replace(full, history=full.history[:, torch.tensor([4, 2, 0, 5, 1, 3])])
    din.train(training)
    torch.testing.assert_close(din(turned), din(full), rtol=1e-4, atol=1e-5)


def test_attention_looks_at_the_item_tuple_alone(tiny, din):
    # The same item for other users and days has the same φ given the same history.
    other = tiny.batch.x.clone()
    other[:, 0], other[:, 3] = other[:, 0].roll(1), 101
    din.eval()
    torch.testing.assert_close(
        din.backbone.represent(dataclasses.replace(tiny.batch, x=other), din.embedding),
        din.backbone.represent(tiny.batch, din.embedding),
    )
    moved = tiny.batch.x.clone()
    moved[:, 1] = 65 + (moved[:, 1] - 64) % 30  # the next item
    phi = din.backbone.represent(dataclasses.replace(tiny.batch, x=moved), din.embedding)
    several = tiny.batch.history_mask.sum(1) > 1
    before = din.backbone.represent(tiny.batch, din.embedding)
    assert (phi != before).any(1)[several].all()


@pytest.mark.parametrize("training", [True, False])
def test_packing_changes_no_logit_and_no_gradient(tiny, training, monkeypatch):
    found = []
    for fixed in (False, True):
        monkeypatch.setattr(attention, "fixed_shapes", lambda _, fixed=fixed: fixed)
        torch.manual_seed(0)
        model = create_model("din", tiny.schema, init_std=0.5).train(training)
        logits = model(tiny.batch)
        logits.square().sum().backward()
        found.append((logits, {n: p.grad for n, p in model.named_parameters()}))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_the_activation_unit_has_the_widths_of_the_paper(tiny):
    unit = create_model("din", tiny.schema).backbone.attention.unit
    assert [dice.alpha.numel() for dice in unit.dices] == [80, 40]
    assert not any(dice.alpha.any() for dice in unit.dices)  # Dice.py begins at 0


@pytest.mark.parametrize("bilinear", [False, True])
def test_it_has_the_parameters_of_its_layers(tiny, bilinear):
    d, x = 2 * 16, 4 * 16  # C·d, F·d
    # Three products of the first layer and its bias; no bias of the score; α of two Dices.
    unit = d * d + d if bilinear else 3 * d * 80 + 80 + 80 * 40 + 40 + 40 + (80 + 40)
    head = (d + x) * 200 + 200 + 200 * 80 + 80 + 80 + 1
    assert parameter_counts(create_model("din", tiny.schema, bilinear=bilinear))["dense"] == (
        unit + head
    )


def test_the_head_sees_phi_then_x(tiny, din):
    din.eval()
    phi = din.backbone.represent(tiny.batch, din.embedding)
    entered = torch.cat([phi, din.embedding(tiny.batch.x).flatten(1)], 1)
    assert torch.equal(din(tiny.batch), din.backbone.head(entered).squeeze(1))
