"""f, g and h."""

import numpy as np
import pytest
import torch
from torch import nn

from rokkit.config import build
from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, Projector, split_embedding_dim
from rokkit.layers import BatchNorm


def made(tiny, **config):
    torch.manual_seed(0)
    settings = {"dim": 3, "hidden": (5,), "init_std": 1.0} | config
    return KnowledgeBase(tiny.schema, KnowledgeBaseConfig(**settings), 6)


def test_z_is_g_of_f(tiny):
    base = made(tiny, batch_norm=False)
    n = {key: value.numpy() for key, value in base.state_dict().items()}
    e = n["f.weight"][tiny.batch.x.numpy()].reshape(12, -1)
    hidden = np.maximum(e @ n["g.hidden.0.weight"].T + n["g.hidden.0.bias"], 0)
    expected = hidden @ n["g.out.weight"].T + n["g.out.bias"]
    np.testing.assert_allclose(base(tiny.batch.x).detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(base.embed(tiny.batch.x), base.f(tiny.batch.x))
    assert base.representation_dim == 6


def test_g_ends_without_norm_or_activation(tiny):
    # z must reach any r, negative ones too.
    base = made(tiny, batch_norm=True)
    assert any(isinstance(m, BatchNorm) for m in base.g.hidden)
    assert type(base.g.out) is nn.Linear
    assert (base(tiny.batch.x) < 0).any()


def test_f_starts_small_and_padding_is_zero(tiny):
    # An id that training never meets must act as nearly zero, not as noise.
    base = KnowledgeBase(tiny.schema, KnowledgeBaseConfig(), 6)
    assert 0 < base.f.weight.std().item() <= 0.011
    assert not base.f.weight[0].any()


def test_standardised_and_back(tiny):
    base, r = made(tiny), torch.randn(4, 6)
    assert torch.equal(base.standardised(r), r)  # until construction sets the statistics
    with torch.no_grad():
        base.r_mean.copy_(torch.arange(6.0))
        base.r_std.copy_(torch.tensor([1.0, 2, 4, 1, 2, 4]))
    assert base.standardised(torch.full((1, 6), 4.0)).tolist() == [[4, 1.5, 0.5, 1, 0, -0.25]]
    torch.testing.assert_close(base.to_teacher_space(base.standardised(r)), r)


def test_the_statistics_of_r_are_saved_with_the_base(tiny):
    assert {"r_mean", "r_std"} <= set(made(tiny).state_dict())


def test_h_is_simsiams_predictor():
    projector = Projector(12)
    kinds = [type(layer) for layer in projector.layers]
    assert kinds == [nn.Linear, BatchNorm, nn.ReLU, nn.Linear]
    assert projector.layers[0].weight.shape == (3, 12)
    assert projector.layers[0].bias is None
    assert projector(torch.randn(4, 12)).shape == (4, 12)
    assert Projector(2)(torch.randn(4, 2)).shape == (4, 2)


@pytest.mark.parametrize("training", [True, False])
def test_h_is_its_equation(training):
    """p = W' max(γ (W z − μ) / √(σ² + ε) + β, 0) + b, with μ and σ² of the rows in training."""
    torch.manual_seed(0)
    projector, z = Projector(12), torch.randn(9, 12) * 3 + 1
    norm = projector.layers[1]
    with torch.no_grad():
        for held in (norm.weight, norm.bias, norm.running_mean):
            held.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    n = {key: value.double().numpy() for key, value in projector.state_dict().items()}
    u = z.double().numpy() @ n["layers.0.weight"].T
    mean, var = n["layers.1.running_mean"], n["layers.1.running_var"]
    if training:
        mean, var = u.mean(0), ((u - u.mean(0)) ** 2).mean(0)
    u = n["layers.1.weight"] * (u - mean) / np.sqrt(var + 1e-5) + n["layers.1.bias"]
    expected = np.maximum(u, 0) @ n["layers.3.weight"].T + n["layers.3.bias"]
    found = projector.train(training)(z).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (found < 0).any()  # neither norm nor ReLU at the end


@pytest.mark.parametrize(("dim", "parts"), [(16, (8, 8)), (2, (1, 1)), (5, (3, 2))])
def test_the_embedding_is_shared_half_and_half(dim, parts):
    assert split_embedding_dim(dim) == parts


def test_an_embedding_of_one_cannot_be_shared():
    with pytest.raises(ConfigError, match="embed_dim is 1; expected at least 2"):
        split_embedding_dim(1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("dim", 0),
        ("hidden", ()),
        ("hidden", (4, 0)),
        ("encoder", "cnn"),
        ("layers", 0),
        ("heads", 0),
        ("width", 0),
        ("width", 30),
        ("dropout", 1.0),
        ("init_std", 0.0),
        ("standardise", "yes"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting, value):
    with pytest.raises(ConfigError, match=setting):
        build(KnowledgeBaseConfig, {setting: value}, where="base")


def test_a_width_that_heads_cannot_share_says_so():
    with pytest.raises(ConfigError, match="width is 30; expected a multiple of heads, which is 4"):
        KnowledgeBaseConfig(encoder="transformer", width=30)


def test_settings_of_the_other_encoder_are_known_to_be_out_of_use():
    assert KnowledgeBaseConfig().unused == {"layers", "heads", "width"}
    assert KnowledgeBaseConfig(encoder="transformer").unused == {"hidden", "batch_norm"}


@pytest.mark.parametrize("encoder", ["mlp", "transformer"])
def test_what_is_called_out_of_use_is(tiny, encoder):
    """Else two bases that differ would share one key."""
    other = {"hidden": (9, 9), "batch_norm": False, "layers": 3, "heads": 3, "width": 9}
    config = KnowledgeBaseConfig(encoder=encoder)
    changed = {name: other[name] for name in config.unused}
    found = []
    for settings in ({}, changed):
        torch.manual_seed(0)
        base = KnowledgeBase(tiny.schema, KnowledgeBaseConfig(encoder=encoder, **settings), 6)
        found.append({name: value.tolist() for name, value in base.state_dict().items()})
    assert found[0] == found[1]


def test_an_r_of_no_width_is_refused(tiny):
    with pytest.raises(ConfigError, match="representation_dim is 0"):
        KnowledgeBase(tiny.schema, KnowledgeBaseConfig(), 0)


def test_runs_on_meta_tensors(tiny):
    base, projector = made(tiny).to("meta"), Projector(6).to("meta")
    p = projector(base(tiny.batch.x.to("meta")))
    p.sum().backward()
    assert p.is_meta
    assert base.standardised(p).is_meta
