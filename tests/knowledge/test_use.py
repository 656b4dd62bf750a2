"""§4.4 and §5.5.1: where knowledge enters a backbone, and what stage 2 changes of it."""

import copy
import dataclasses

import pytest
import torch
from made_batches import tiny_batch
from torch.nn import functional

from rokkit.config import build
from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import list_models, model_entry

READS_HISTORY = [n for n in list_models() if "history" in model_entry(n).target.needs]


@pytest.fixture
def base(tiny):
    """A base whose BatchNorm has been used, with dropout, so that training mode would show."""
    torch.manual_seed(1)
    config = KnowledgeBaseConfig(dim=8, hidden=(12,), dropout=0.5, init_std=0.3)
    found = KnowledgeBase(tiny.schema, config, 7)
    found(tiny_batch(seed=5).x)
    return found


def train(model, batch, steps=3):
    """Adam with decay over every parameter, as someone who forgot that some are frozen."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(model(batch), batch.y).backward()
        optimizer.step()


def changed(model, before):
    """Which of the base's tensors are no longer bit-equal."""
    after = model.base.state_dict()
    return {key for key in after if not torch.equal(after[key], before[key])}


@pytest.mark.parametrize("manner", ["instance", "feature", "both"])
@pytest.mark.parametrize("name", list_models())
def test_a_fixed_base_is_bit_equal_after_training(tiny, base, name, manner):
    # Kills BatchNorm's running statistics that move although every weight is frozen.
    model = with_knowledge(name, tiny.schema, base, UseConfig(manner=manner))
    before = copy.deepcopy(base.state_dict())
    train(model, tiny.batch)
    assert changed(model, before) == set()
    assert not any(module.training for module in model.base.modules())
    assert model.backbone.training


F_KEY = {"f.weight"}
G_WEIGHTS = {"g.hidden.0.weight", "g.hidden.1.weight", "g.hidden.1.bias"} | {
    "g.out.weight",
    "g.out.bias",
}
G_STATISTICS = {"g.hidden.1.running_mean", "g.hidden.1.running_var"}


@pytest.mark.parametrize(
    ("manner", "update", "expected"),
    [
        ("instance", "g", G_WEIGHTS | G_STATISTICS),
        ("both", "g", G_WEIGHTS | G_STATISTICS),
        ("instance", "fg", F_KEY | G_WEIGHTS | G_STATISTICS),
        ("both", "fg", F_KEY | G_WEIGHTS | G_STATISTICS),
        ("feature", "fg", F_KEY),
    ],
)
def test_an_update_policy_changes_what_it_names_and_no_more(tiny, base, manner, update, expected):
    model = with_knowledge("mlp", tiny.schema, base, UseConfig(manner=manner, update=update))
    before = copy.deepcopy(base.state_dict())
    train(model, tiny.batch)
    assert changed(model, before) == expected


def test_the_callers_base_stays_as_it_is(tiny, base):
    # Kills a base that the first of two runs trains and the second then reads.
    before = copy.deepcopy(base.state_dict())
    train(with_knowledge("mlp", tiny.schema, base, UseConfig(update="fg")), tiny.batch)
    with_knowledge("mlp", tiny.schema, base, UseConfig())
    assert all(torch.equal(value, before[key]) for key, value in base.state_dict().items())
    assert all(p.requires_grad for p in base.parameters())
    assert base.training


def test_a_fixed_base_stays_in_eval_mode_whatever_is_called(tiny, base):
    model = with_knowledge("mlp", tiny.schema, base, UseConfig())
    for mode in (True, False, True):
        assert model.train(mode) is model
        assert (model.training, model.base.training, model.base.g.training) == (mode, False, False)
    trained = with_knowledge("mlp", tiny.schema, base, UseConfig(update="g"))
    assert trained.base.g.training
    assert not trained.eval().base.g.training


def test_instance_wise_z_joins_the_head(tiny, base):
    model = with_knowledge("lr", tiny.schema, base, UseConfig(manner="instance"), embed_dim=4)
    assert model.own.dim == 4
    with torch.no_grad():
        model.backbone.head.weight.zero_()
        model.backbone.head.weight[0, -7:] = 1
        model.backbone.head.bias.zero_()
    z = copy.deepcopy(base).eval()(tiny.batch.x)
    torch.testing.assert_close(model(tiny.batch), z.sum(1))


@pytest.mark.parametrize("manner", ["instance", "both"])
def test_a_batch_may_bring_z_where_it_stays(tiny, base, manner):
    batch = tiny.batch
    with torch.no_grad():
        z = copy.deepcopy(base).eval()(batch.x)
    brought = dataclasses.replace(batch, extra=z)
    other = dataclasses.replace(batch, extra=z + 1)
    for update, stays in (("fix", True), ("g", False), ("fg", False)):
        use = UseConfig(manner=manner, update=update)
        model = with_knowledge("mlp", tiny.schema, base, use).eval()
        assert model.z_stays is stays
        assert torch.equal(model(brought), model(batch))
        assert torch.equal(model(other), model(batch)) is not stays


def test_without_z_a_batch_brings_none(tiny, base):
    model = with_knowledge("mlp", tiny.schema, base, UseConfig(manner="feature")).eval()
    assert not model.z_stays
    brought = dataclasses.replace(tiny.batch, extra=torch.ones(len(tiny.batch), 7))
    assert torch.equal(model(brought), model(tiny.batch))


def test_feature_wise_f_joins_every_field(tiny, base):
    model = with_knowledge("lr", tiny.schema, base, UseConfig(manner="feature"), embed_dim=16)
    joined = model.embedding(tiny.batch.x)
    assert (model.own.dim, joined.shape) == (8, (12, 4, 16))
    torch.testing.assert_close(joined[..., 8:], base.f(tiny.batch.x))
    assert model.backbone.head.weight.shape == (1, 4 * 16)  # no z


@pytest.mark.parametrize("name", READS_HISTORY)
@pytest.mark.parametrize("on_history", [True, False])
def test_f_joins_histories_unless_it_is_not_to(tiny, base, name, on_history):
    # Ids that only histories hold: what f says of them matters with on_history alone.
    model = with_knowledge(name, tiny.schema, base, UseConfig(on_history=on_history)).eval()
    target = set(tiny.batch.x.flatten().tolist())
    own = [i for i in set(tiny.batch.history.flatten().tolist()) - target if i]
    assert own
    before = model(tiny.batch)
    with torch.no_grad():
        model.base.f.weight[own] += 3
    assert (model(tiny.batch) != before).any() == on_history


@pytest.mark.parametrize("name", READS_HISTORY)
def test_without_on_history_the_backbone_keeps_its_shape(tiny, base, name):
    shapes = [
        {k: v.shape for k, v in with_knowledge(name, tiny.schema, base, use).state_dict().items()}
        for use in (UseConfig(), UseConfig(on_history=False))
    ]
    assert shapes[0] == shapes[1]


def test_the_base_appears_once_in_the_weights(tiny, base):
    model = with_knowledge("mlp", tiny.schema, base, UseConfig())
    tables = [key for key, value in model.state_dict().items() if len(value) == tiny.schema.n_ids]
    assert tables == ["own.weight", "base.f.weight"]


def test_updating_g_where_it_takes_no_part_is_refused():
    with pytest.raises(ConfigError, match="update is 'g' and manner is 'feature'"):
        UseConfig(manner="feature", update="g")


@pytest.mark.parametrize(("setting", "value"), [("manner", "boht"), ("update", "f")])
def test_an_unknown_way_of_use_is_refused(setting, value):
    with pytest.raises(ConfigError, match=f"{setting}.*{value}"):
        build(UseConfig, {setting: value}, where="use")


def test_a_base_as_wide_as_the_embedding_is_refused(tiny, base):
    with pytest.raises(ConfigError, match=r"embed_dim of model 'din' is 8; expected above 8"):
        with_knowledge("din", tiny.schema, base, UseConfig(), embed_dim=8)


def test_a_base_of_another_data_set_is_refused(tiny, base):
    last = tiny.schema.fields[-1]
    longer = dataclasses.replace(last, size=last.size + 1)
    other = dataclasses.replace(tiny.schema, fields=(*tiny.schema.fields[:-1], longer))
    with pytest.raises(ConfigError, match="Construct a base on this data set"):
        with_knowledge("din", other, base, UseConfig())


def test_a_misspelt_model_or_setting_names_the_nearest(tiny, base):
    with pytest.raises(ConfigError, match="Did you mean 'din'"):
        with_knowledge("dni", tiny.schema, base, UseConfig())
    with pytest.raises(ConfigError, match="Did you mean 'dropout'"):
        with_knowledge("din", tiny.schema, base, UseConfig(), drpout=0.1)
