"""RIM against its equations by loops, and what its neighbours may and may not do."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from rokkit.layers import BatchNorm
from rokkit.models import create_model, parameter_counts

D, F = 3, 4  # embedding, fields


@pytest.fixture
def rim(tiny):
    return create_model("rim", tiny.schema, embed_dim=D, hidden=(7, 5), init_std=0.7).eval()


def shake(model):
    """Random affine parameters, so that none of them hides behind 1 or 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "bias" in name:
                parameter.normal_()
    return model


def weights_of(model):
    """Its state, in numpy's float64."""
    return {k: v.double().numpy() for k, v in model.state_dict().items()}


def entering(model, batch, scale=False):
    """(what enters the MLP before any normalisation, r) by loops over rows, neighbours, pairs."""
    n = weights_of(model)
    table, labels = n["embedding.weight"], n["backbone.labels.weight"]
    entered, aggregated = [], []
    for row in range(len(batch)):
        x = [table[i] for i in batch.x[row]]
        flat_x = np.concatenate(x)
        kept = [k for k in range(batch.neighbours.shape[1]) if batch.neighbour_mask[row, k]]
        s = [np.concatenate([table[i] for i in batch.neighbours[row, k]]) for k in kept]
        y = [labels[batch.neighbour_labels[row, k]] for k in kept]
        q = n["backbone.attention.query.weight"] @ flat_x + n["backbone.attention.query.bias"]
        e = [np.exp(q @ one / (np.sqrt(D * F) if scale else 1)) for one in s]
        r_f = sum((a / sum(e) * one for a, one in zip(e, s, strict=True)), np.zeros(F * D))
        r_l = sum((a / sum(e) * one for a, one in zip(e, y, strict=True)), np.zeros(D))
        v = [*x, *np.split(r_f, F), r_l]
        pairs = [v[i] @ v[j] for i in range(len(v)) for j in range(i + 1, len(v))]
        entered.append(np.concatenate([flat_x, r_f, pairs, r_l]))
        aggregated.append(np.concatenate([r_f, r_l]))
    return np.array(entered), np.array(aggregated)


def reference(model, batch, scale=False):
    """(logits, r) with a scale and a shift of each input."""
    n = weights_of(model)
    entered, aggregated = entering(model, batch, scale)
    logits = []
    for row, r in zip(entered, aggregated, strict=True):
        m = row * n["backbone.norm.weight"] + n["backbone.norm.bias"]
        for layer in (0, 2):
            w, b = n[f"backbone.mlp.{layer}.weight"], n[f"backbone.mlp.{layer}.bias"]
            m = np.maximum(w @ m + b, 0)
        out = n["backbone.out.weight"] @ np.concatenate([m, r[F * D :]]) + n["backbone.out.bias"]
        logits.append(out[0])
    return np.array(logits), aggregated


def after_linear(model, batch, training):
    """Logits with γ (w·m − μ) / √(σ² + ε) + β of each unit: μ, σ² over rows, or the running ones.

    By loops over layers, units and rows; ε is 1e-5, σ² the mean square distance from μ.
    """
    n = weights_of(model)
    entered, aggregated = entering(model, batch)
    rows = list(entered)
    for layer in (0, 3):
        after = [[] for _ in rows]
        for unit, w in enumerate(n[f"backbone.mlp.{layer}.weight"]):
            norm = {
                key: n[f"backbone.mlp.{layer + 1}.{key}"][unit]
                for key in ("weight", "bias", "running_mean", "running_var")
            }
            u = [sum(a * b for a, b in zip(w, m, strict=True)) for m in rows]
            mean, var = norm["running_mean"], norm["running_var"]
            if training:
                mean = sum(u) / len(u)
                var = sum((one - mean) ** 2 for one in u) / len(u)
            for made, one in zip(after, u, strict=True):
                scaled = norm["weight"] * (one - mean) / np.sqrt(var + 1e-5) + norm["bias"]
                made.append(max(scaled, 0.0))
        rows = after
    out, bias = n["backbone.out.weight"][0], n["backbone.out.bias"][0]
    return np.array(
        [
            out @ np.concatenate([m, r[F * D :]]) + bias
            for m, r in zip(rows, aggregated, strict=True)
        ]
    )


@pytest.mark.parametrize("scale", [False, True])
def test_rim_is_its_equations(tiny, scale):
    model = create_model(
        "rim", tiny.schema, embed_dim=D, hidden=(7, 5), init_std=0.7,
        scale_attention=scale, normalisation="affine-input",
    )  # fmt: skip
    logits, r = reference(shake(model), tiny.batch, scale)
    np.testing.assert_allclose(model(tiny.batch).detach().numpy(), logits, rtol=1e-4, atol=1e-5)
    found = model.aggregate(tiny.batch).detach().numpy()
    np.testing.assert_allclose(found, r, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_rim_normalised_after_its_layers_is_its_equations(tiny, training):
    model = create_model(
        "rim", tiny.schema, embed_dim=D, hidden=(7, 5), init_std=0.7, normalisation="after-linear"
    )
    shake(model)
    with torch.no_grad():
        model.backbone.out.weight.normal_()
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.weight.normal_()
                module.bias.normal_(1.0)  # or the ReLUs hide most units
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    expected = after_linear(model, tiny.batch, training)  # before training moves what runs
    found = model.train(training)(tiny.batch).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected) > 0.5


def test_r_is_features_then_labels(tiny, rim):
    assert rim.backbone.representation_dim == (F + 1) * D
    blocks = rim.backbone.representation_blocks
    assert blocks == {"features": slice(0, F * D), "labels": slice(F * D, (F + 1) * D)}
    with torch.no_grad():
        rim.backbone.labels.weight.copy_(torch.tensor([[2.0] * D, [5.0] * D]))
    ones = dataclasses.replace(
        tiny.batch, neighbour_labels=torch.ones_like(tiny.batch.neighbour_labels)
    )
    found = tiny.batch.neighbour_mask.any(1)
    r_l = rim.aggregate(ones)[:, blocks["labels"]]
    torch.testing.assert_close(r_l[found], torch.full_like(r_l[found], 5))


def test_phi_is_r(tiny, rim):
    assert torch.equal(rim.backbone.represent(tiny.batch, rim.embedding), rim.aggregate(tiny.batch))


def test_a_row_without_neighbours_has_r_zero(tiny, rim):
    found = tiny.batch.neighbour_mask.any(1)
    assert not found.all()
    assert torch.equal(rim.aggregate(tiny.batch).any(1), found)


def test_the_order_of_neighbours_does_not_matter(tiny, rim):
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = dataclasses.replace(
        tiny.batch,
        neighbours=tiny.batch.neighbours[:, order],
        neighbour_labels=tiny.batch.neighbour_labels[:, order],
        neighbour_mask=tiny.batch.neighbour_mask[:, order],
    )
    torch.testing.assert_close(rim(turned), rim(tiny.batch), rtol=1e-5, atol=1e-6)


def test_a_label_stays_with_its_neighbour(tiny, rim):
    # Kills labels turned against their rows.
    turned = dataclasses.replace(tiny.batch, neighbour_labels=tiny.batch.neighbour_labels.flip(1))
    differs = (turned.neighbour_labels != tiny.batch.neighbour_labels).any(1)
    full = tiny.batch.neighbour_mask.all(1)
    assert (rim(turned) != rim(tiny.batch))[differs & full].all()


def test_normalisations_are_what_they_say(tiny):
    kinds = {}
    for name in ("affine-input", "after-linear", "none"):
        backbone = create_model("rim", tiny.schema, normalisation=name).backbone
        norms = sum(isinstance(m, BatchNorm) for m in backbone.mlp)
        kinds[name] = (not isinstance(backbone.norm, nn.Identity), norms)
    assert kinds == {"affine-input": (True, 0), "after-linear": (False, 2), "none": (False, 0)}


def test_init_std_is_that_of_both_tables(tiny):
    torch.manual_seed(0)
    model = create_model("rim", tiny.schema, embed_dim=64, init_std=0.5)
    for weight in (model.embedding.weight[1:], model.backbone.labels.weight):
        assert weight.std().item() == pytest.approx(0.5, rel=0.15)


def test_it_has_the_parameters_of_its_layers(tiny):
    d, x, pairs = 16, 4 * 16, 9 * 8 // 2  # d, F·d, pairs of 2F + 1 vectors
    entering = 2 * x + d + pairs
    assert entering == 180  # rim.py, for four fields
    mlp = entering * 200 + 200 + 200 * 80 + 80
    expected = x * x + x + 2 * d + 2 * entering + mlp + (80 + d) + 1
    assert parameter_counts(create_model("rim", tiny.schema))["dense"] == expected
