"""DeepFM against its equation by loops, and what its history may and may not do."""

import dataclasses

import numpy as np
import pytest
import torch
from made_batches import tiny_batch
from torch.nn import functional

from rokkit.data.batch import Batch
from rokkit.data.schema import Field, Schema
from rokkit.errors import ConfigError
from rokkit.evaluation import auc
from rokkit.experiments.spec import ModelSpec
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import create_model, parameter_counts

D, F, C = 3, 4, 2  # embedding, fields, fields of the item tuple
both = pytest.mark.parametrize("history", [False, True])


def deepfm(tiny, history, **config):
    torch.manual_seed(0)
    defaults = {"embed_dim": D, "hidden": (7, 5), "init_std": 0.7}
    return create_model("deepfm", tiny.schema, history=history, **defaults | config)


def reference(model, batch, history):
    """(logits, φ) by loops over rows, fields, behaviours and pairs."""
    n = {key: value.double().numpy() for key, value in model.state_dict().items()}
    table, logits, phi = n["embedding.weight"], [], []
    for row in range(len(batch)):
        v = [table[i] for i in batch.x[row]]
        if history:
            held = [b for b in batch.history[row].tolist() if b[0] != 0]
            for c in range(C):
                total = np.zeros(D)
                for behaviour in held:
                    total = total + table[behaviour[c]]
                v.append(total / len(held) if held else total)
        m = np.concatenate(v)
        first = n["backbone.fm.linear.weight"][0] @ m + n["backbone.fm.linear.bias"][0]
        second = sum(v[i] @ v[j] for j in range(len(v)) for i in range(j))
        phi.append(m)
        for layer in (0, 2):
            w = n[f"backbone.head.hidden.{layer}.weight"]
            m = np.maximum(w @ m + n[f"backbone.head.hidden.{layer}.bias"], 0)
        deep = n["backbone.head.out.weight"][0] @ m + n["backbone.head.out.bias"][0]
        logits.append(first + second + deep)
    return np.array(logits), np.array(phi)


@both
def test_deepfm_is_its_equation(tiny, history):
    model = deepfm(tiny, history)
    logits, phi = reference(model, tiny.batch, history)
    np.testing.assert_allclose(model(tiny.batch).detach().numpy(), logits, rtol=1e-4, atol=1e-5)
    found = model.backbone.represent(tiny.batch, model.embedding)
    np.testing.assert_allclose(found.detach().numpy(), phi, rtol=1e-5, atol=1e-6)


def test_a_user_without_behaviours_has_means_of_zero(tiny):
    # The trap: a mean over none is 0 / 0.
    empty = ~tiny.batch.history_mask.any(1)
    assert empty.any()
    model = deepfm(tiny, True)
    pooled = model.backbone.represent(tiny.batch, model.embedding)[:, F * D :]
    assert torch.equal(pooled.any(1), ~empty)
    model(tiny.batch).sum().backward()
    assert torch.isfinite(model.embedding.weight.grad).all()


def test_a_repeated_behaviour_is_its_own_mean(tiny):
    # Kills a sum in the place of the mean, and a mean that counts padding.
    model, one = deepfm(tiny, True), tiny.batch.history[:, :1]
    repeated = torch.cat([one.expand(-1, 4, -1), torch.zeros_like(one).expand(-1, 3, -1)], 1)
    phi = model.backbone.represent(
        dataclasses.replace(tiny.batch, history=repeated), model.embedding
    )
    torch.testing.assert_close(phi[:, F * D :], model.embedding(one[:, 0]).flatten(1))


@pytest.mark.parametrize("training", [True, False])
def test_more_padding_after_a_history_changes_nothing(tiny, training):
    model = deepfm(tiny, True, batch_norm=True).train(training)
    longer = functional.pad(tiny.batch.history, (0, 0, 0, 3))
    found = model(dataclasses.replace(tiny.batch, history=longer))
    torch.testing.assert_close(found, model(tiny.batch), rtol=1e-5, atol=1e-6)


def test_the_order_of_behaviours_does_not_matter(tiny):
    full = tiny.batch.take(tiny.batch.history_mask.all(1).nonzero().squeeze(1))
    turned = dataclasses.replace(full, history=full.history.flip(1))
    model = deepfm(tiny, True)
    torch.testing.assert_close(model(turned), model(full), rtol=1e-5, atol=1e-6)


def test_a_row_does_not_depend_on_its_batch(tiny):
    model = deepfm(tiny, True).eval()
    alone = torch.cat([model(tiny.batch.take(slice(i, i + 1))) for i in range(len(tiny.batch))])
    torch.testing.assert_close(alone, model(tiny.batch), rtol=1e-5, atol=1e-6)


def test_histories_are_needed_only_where_they_are_pooled(tiny):
    # A run that asks for them must gather them, and its key must cover their length.
    assert deepfm(tiny, False).needs == frozenset()
    assert deepfm(tiny, True).needs == frozenset({"history"})
    assert ModelSpec.of("deepfm").needs == frozenset()
    assert ModelSpec.of("deepfm", {"history": True}).needs == frozenset({"history"})
    bare = dataclasses.replace(tiny.batch, history=None)
    assert torch.equal(deepfm(tiny, False)(bare), deepfm(tiny, False)(tiny.batch))
    with pytest.raises(ConfigError, match="no history"):
        deepfm(tiny, True)(bare)


@both
def test_extra_joins_the_mlp_and_neither_order_of_the_machine(tiny, history):
    model = deepfm(tiny, history)
    backbone = type(model.backbone)(tiny.schema, model.backbone.config, 5)
    extra = torch.randn(len(tiny.batch), 5)
    assert (backbone(tiny.batch, model.embedding, extra) != backbone(
        tiny.batch, model.embedding, extra + 1)).all()  # fmt: skip
    with torch.no_grad():
        backbone.head.out.weight.zero_()
        backbone.head.out.bias.zero_()
    first, second = (backbone(tiny.batch, model.embedding, e) for e in (extra, extra + 1))
    assert torch.equal(first, second)
    phi = backbone.represent(tiny.batch, model.embedding)
    torch.testing.assert_close(first, backbone.fm(phi.view(len(phi), -1, D)))


@both
def test_the_knowledge_base_may_leave_histories_alone(tiny, history):
    base = KnowledgeBase(tiny.schema, KnowledgeBaseConfig(dim=1, hidden=(6,)), 7)
    for on_history in (True, False):
        use = UseConfig(manner="feature", on_history=on_history)
        model = with_knowledge(
            "deepfm", tiny.schema, base, use, embed_dim=D, init_std=0.7, history=history
        )
        phi = model.backbone.represent(tiny.batch, model.embedding)
        from_base = phi.view(len(phi), -1, D)[..., -1:]
        assert from_base[:, :F].all()
        if history:
            found = from_base[tiny.batch.history_mask.any(1), F:]
            assert found.all() if on_history else not found.any()


class ByTensors(torch.nn.Module):
    """A model called with tensors."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, history):
        return self.model(Batch(x=x, history=history))


def test_exports_with_histories_and_the_batch_size_left_open(tiny):
    model, rows = deepfm(tiny, True).eval(), torch.export.Dim("rows", min=2)
    held, other = ((b.x, b.history) for b in (tiny.batch, tiny_batch(20, seed=4)))
    exported = torch.export.export(
        ByTensors(model), held, dynamic_shapes={"x": {0: rows}, "history": {0: rows}}
    )
    torch.testing.assert_close(exported.module()(*other), ByTensors(model)(*other))


def test_histories_run_on_meta_tensors(tiny):
    logits = deepfm(tiny, True).to("meta")(tiny.batch.to("meta"))
    assert logits.is_meta
    logits.sum().backward()


def test_overfits_64_rows_with_histories(tiny):
    model, batch = deepfm(tiny, True), tiny_batch(64, seed=3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(model(batch), batch.y).backward()
        optimizer.step()
    p = model.eval()(batch).sigmoid().detach()
    assert auc(batch.y.numpy(), p.numpy()) > 0.99


def test_it_has_as_many_parameters_as_documented():
    roles = ["user", *["item"] * 4, *["context"] * 3]
    fields = tuple(
        Field(name=f"f{i}", role=role, offset=1 + 2 * i, size=2) for i, role in enumerate(roles)
    )
    schema = Schema(name="eight", fields=fields, retrieval=("f0",))
    assert parameter_counts(create_model("deepfm", schema))["dense"] == 42_090
    # Four more fields of 16: 64 inputs of the head's first layer and of the first order.
    assert (
        parameter_counts(create_model("deepfm", schema, history=True))["dense"]
        == 42_090 + 64 * 200 + 64
    )


@pytest.mark.parametrize(
    ("setting", "value"), [("history", 1), ("hidden", ()), ("dropout", 1.0), ("embed_dim", 0)]
)
def test_a_setting_out_of_range_is_refused_by_name(tiny, setting, value):
    with pytest.raises(ConfigError, match=setting):
        create_model("deepfm", tiny.schema, **{setting: value})
