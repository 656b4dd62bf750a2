"""g as a Transformer: its equations by loops, a library's block, and what it may not depend on."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.knowledge.encoder import Block, TransformerEncoder
from rokkit.training.optim import parameter_groups

F, D, W, HEADS, LAYERS, R = 4, 3, 6, 2, 2, 5


def shaken(module):
    """Random weights everywhere, so that nothing hides behind a 0 or a 1."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.6)
    return module.eval()


def made(dropout=0.0):
    made_ = TransformerEncoder(F, D, R, layers=LAYERS, heads=HEADS, width=W, dropout=dropout)
    return shaken(made_)


def rows(n=7):
    torch.manual_seed(4)
    return torch.randn(n, F * D)


def norm(t, weight, bias):
    """LayerNorm of one token."""
    return (t - t.mean()) / np.sqrt(t.var() + 1e-5) * weight + bias


def reference(state, e):
    """z of one row [F·d], token by token, head by head."""
    n = {name: value.double().numpy() for name, value in state.items()}
    tokens = [n["into.weight"] @ one for one in e.reshape(F, D)]
    tokens = [t + v for t, v in zip(tokens, n["field.weight"], strict=True)]
    for layer in range(LAYERS):
        b = {k[9:]: v for k, v in n.items() if k.startswith(f"blocks.{layer}.")}
        q, k, v = [], [], []
        for t in tokens:
            qkv = b["qkv.weight"] @ norm(t, b["attention_norm.weight"], b["attention_norm.bias"])
            for held, one in zip((q, k, v), np.split(qkv, 3), strict=True):
                held.append(np.split(one, HEADS))
        for i, t in enumerate(tokens):
            met = []
            for h in range(HEADS):
                a = np.exp([q[i][h] @ k[j][h] / np.sqrt(W / HEADS) for j in range(F)])
                met.append(sum(a[j] / a.sum() * v[j][h] for j in range(F)))
            tokens[i] = t + b["project.weight"] @ np.concatenate(met) + b["project.bias"]
        for i, t in enumerate(tokens):
            inner = norm(t, b["wide_norm.weight"], b["wide_norm.bias"])
            inner = np.maximum(b["wide.0.weight"] @ inner + b["wide.0.bias"], 0)
            tokens[i] = t + b["wide.2.weight"] @ inner + b["wide.2.bias"]
    flat = np.concatenate([norm(t, n["norm.weight"], n["norm.bias"]) for t in tokens])
    return n["out.weight"] @ flat + n["out.bias"]


def test_z_is_its_equations():
    encoder, e = made(), rows()
    expected = [reference(encoder.state_dict(), one) for one in e.double().numpy()]
    np.testing.assert_allclose(encoder(e).detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_block_is_torchs_own_with_its_norms_first():
    block = shaken(Block(W, HEADS))
    other = nn.TransformerEncoderLayer(W, HEADS, 4 * W, 0.0, batch_first=True, norm_first=True)
    held = block.state_dict()
    other.load_state_dict(
        {
            "self_attn.in_proj_weight": held["qkv.weight"],
            "self_attn.in_proj_bias": torch.zeros(3 * W),
            "self_attn.out_proj.weight": held["project.weight"],
            "self_attn.out_proj.bias": held["project.bias"],
            "linear1.weight": held["wide.0.weight"],
            "linear1.bias": held["wide.0.bias"],
            "linear2.weight": held["wide.2.weight"],
            "linear2.bias": held["wide.2.bias"],
            "norm1.weight": held["attention_norm.weight"],
            "norm1.bias": held["attention_norm.bias"],
            "norm2.weight": held["wide_norm.weight"],
            "norm2.bias": held["wide_norm.bias"],
        }
    )
    t = torch.randn(5, F, W)
    torch.testing.assert_close(block(t), other.train()(t))


@pytest.mark.parametrize("training", [True, False])
def test_a_row_is_encoded_by_itself_in_training_too(training):
    """Kills statistics over the batch, and fields of one row that meet those of another."""
    encoder, e = made().train(training), rows()
    together = encoder(e)
    alone = torch.cat([encoder(one[None]) for one in e])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(encoder(e.flip(0)), together.flip(0))


def test_fields_are_told_apart():
    """Kills a mean over tokens: attention alone does not know which field a token is."""
    encoder, e = made(), rows()
    swapped = e.view(-1, F, D)[:, [1, 0, 2, 3]].flatten(1)
    assert (encoder(e) - encoder(swapped)).abs().mean() > 0.05
    # Neither is it the outputs' order alone that tells them: the fields' own vectors do as well.
    bare = copy.deepcopy(encoder)
    with torch.no_grad():
        bare.field.weight.zero_()
    by_token = bare.norm(bare.blocks(bare.into(e.view(-1, F, D))))
    by_swapped = bare.norm(bare.blocks(bare.into(swapped.view(-1, F, D))))
    torch.testing.assert_close(by_token[:, [1, 0, 2, 3]], by_swapped)
    v = encoder.field.weight
    own = encoder.norm(encoder.blocks(encoder.into(e.view(-1, F, D)) + v))
    other = encoder.norm(encoder.blocks(encoder.into(swapped.view(-1, F, D)) + v))
    assert (own[:, [1, 0, 2, 3]] - other).abs().mean() > 0.01


def test_fields_meet():
    """Were z a sum over fields, what one field adds would not depend on another."""
    encoder, e = made(), rows(2).view(2, F, D)
    one, other = e[0], e[1]
    mixed = [one.clone() for _ in range(4)]
    for place, (first, second) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
        mixed[place][0], mixed[place][1] = (one, other)[first][0], (one, other)[second][1]
    a, b, c, d = encoder(torch.stack(mixed).flatten(1))
    assert ((b - a) - (d - c)).abs().max() > 0.01


@pytest.mark.parametrize(("layers", "width", "heads"), [(1, 8, 2), (3, 12, 4)])
def test_as_many_parameters_as_documented(layers, width, heads):
    encoder = TransformerEncoder(F, D, R, layers=layers, heads=heads, width=width)
    documented = (
        width * (D + F) + layers * (12 * width**2 + 10 * width) + 2 * width + R * (F * width + 1)
    )
    assert sum(p.numel() for p in encoder.parameters()) == documented


def test_every_parameter_gets_a_gradient():
    encoder = made().train()
    encoder(rows()).square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-6, name
    # Of Q, K and V each by itself: a bias of K, say, would have none.
    for part in encoder.blocks[0].qkv.weight.grad.split(W):
        assert part.abs().max() > 1e-6


def test_dropout_is_off_in_eval_mode():
    encoder, e = made(dropout=0.5), rows()
    assert torch.equal(encoder(e), encoder(e))
    torch.testing.assert_close(encoder(e), made()(e))
    encoder.train()
    assert (encoder(e) != encoder(e)).any()


def base_of(schema, **settings):
    torch.manual_seed(0)
    given = {"dim": 3, "encoder": "transformer", "width": 8, "heads": 2, "layers": 1}
    return KnowledgeBase(schema, KnowledgeBaseConfig(**given | settings), 7)


def test_z_of_ids_is_f_then_the_equations_over_fields_in_the_schemas_order(tiny):
    base = KnowledgeBase(
        tiny.schema,
        KnowledgeBaseConfig(dim=D, encoder="transformer", layers=LAYERS, heads=HEADS, width=W),
        R,
    )
    shaken(base)
    f, g = base.f.weight.detach().double().numpy(), base.g.state_dict()
    expected = []
    for x in tiny.batch.x.tolist():
        expected.append(reference(g, np.concatenate([f[one] for one in x])))
    np.testing.assert_allclose(base(tiny.batch.x).detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_weight_decay_takes_matrices_alone(tiny):
    """v stands for W's bias, one per field: decay would draw all fields together."""
    base = base_of(tiny.schema)
    names = {id(parameter): name for name, parameter in base.named_parameters()}
    decaying, free = ({names[id(one)] for one in group} for group in parameter_groups(base))
    inner = ("qkv", "project", "wide.0", "wide.2")
    assert decaying == {
        *("g.into.weight", "g.out.weight"),
        *(f"g.blocks.0.{name}.weight" for name in inner),
    }
    assert any(name.startswith("g.field") for name in free)


def test_fields_start_far_above_what_ids_start_from():
    torch.manual_seed(0)
    encoder = TransformerEncoder(32, 8, R, layers=1, heads=2, width=64)
    v = encoder.field.weight
    assert v.std().item() == pytest.approx(0.2, rel=0.05)
    assert v.mean().item() == pytest.approx(0, abs=0.02)
    with torch.no_grad():
        assert encoder.into(0.01 * torch.randn(1000, 8)).std() < 0.05 * v.std()


def test_an_id_that_training_never_meets_acts_as_nearly_zero(tiny):
    """Kills norms that blow the noise of f's first values up to that of learnt ones."""
    spread = [
        base_of(tiny.schema, init_std=std).eval()(tiny.batch.x).std(0).mean().item()
        for std in (0.01, 1.0)
    ]
    assert spread[0] < 0.05 * spread[1]


def test_the_base_hands_its_settings_on(tiny):
    base = base_of(tiny.schema, layers=3, width=12, heads=4, dropout=0.3, dim=5)
    assert isinstance(base.g, TransformerEncoder)
    assert (len(base.g.blocks), base.g.blocks[2].heads, base.g.blocks[0].dropout.p) == (3, 4, 0.3)
    assert base.g.into.weight.shape == (12, 5)
    assert base.g.out.weight.shape == (7, tiny.schema.n_fields * 12)
    assert base(tiny.batch.x).shape == (len(tiny.batch), 7)


def test_a_saved_base_is_bit_equal(tiny):
    base = base_of(tiny.schema).eval()
    held = io.BytesIO()
    torch.save(base.state_dict(), held)
    held.seek(0)
    other = base_of(tiny.schema, init_std=0.5).eval()
    other.load_state_dict(torch.load(held))
    assert torch.equal(other(tiny.batch.x), base(tiny.batch.x))


def test_meta_tensors_and_bfloat16(tiny):
    base = base_of(tiny.schema, init_std=1.0)
    z = base(tiny.batch.x)
    with torch.autocast("cpu", torch.bfloat16):
        assert (base(tiny.batch.x).float() - z).abs().max() < 0.05
    meta = base.to("meta")(tiny.batch.x.to("meta"))
    meta.sum().backward()
    assert meta.is_meta


def test_it_is_exported_for_any_number_of_rows(tiny):
    base = base_of(tiny.schema).eval()
    shape = {"x": {0: torch.export.Dim("rows", min=2)}}
    program = torch.export.export(base, (tiny.batch.x[:5],), dynamic_shapes=shape)
    torch.testing.assert_close(program.module()(tiny.batch.x), base(tiny.batch.x))


@pytest.mark.parametrize("update", ["fix", "g", "fg"])
def test_a_backbone_changes_what_the_update_policy_names_and_no_more(tiny, update):
    base = base_of(tiny.schema, init_std=0.3, dropout=0.5)
    model = with_knowledge("mlp", tiny.schema, base, UseConfig(update=update)).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(model(tiny.batch), tiny.batch.y).backward()
        optimizer.step()
    after, before = model.base.state_dict(), base.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    g = {name for name in before if name.startswith("g.")}
    assert changed == {"fix": set(), "g": g, "fg": g | {"f.weight"}}[update]
