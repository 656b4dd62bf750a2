"""What every registered model keeps while it is trained, with its own loss and its own chance."""

import dataclasses
import sys

import pytest
import torch
from made_models import KINDS, make
from made_samples import made_neighbours, made_samples
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import create_model, list_models, model_entry
from rokkit.training import CTRTask, Feed, TrainConfig, fit, predict, seed_everything

SAMPLES = made_samples(40)
# Switches that add a loss or a part with a state of its own, beside each model as it is.
SWITCHES = {
    "dien-aux": ("dien", {"aux_weight": 1.0, "attention": "mlp"}),
    "mimn-both": ("mimn", {"utilisation": True, "induction": True}),
    "sim-soft": ("sim", {"search": "soft"}),
    "ubr-draw": ("ubr", {"baseline": "draw"}),
    "deepfm-history": ("deepfm", {"history": True}),
    "rim-after-linear": ("rim", {"normalisation": "after-linear", "dropout": 0.2}),
}
SETTINGS = {name: (name, {}) for name in list_models()} | SWITCHES
settings = pytest.mark.parametrize(("name", "config"), SETTINGS.values(), ids=SETTINGS)
READS_NEIGHBOURS = [n for n in list_models() if "neighbours" in model_entry(n).target.needs]


def whole_loss(model, batch):
    """What a step goes down."""
    logits, penalty = model.penalised(batch)
    loss = functional.binary_cross_entropy_with_logits(logits.float(), batch.y)
    return loss if penalty is None else loss + penalty


@pytest.mark.parametrize("use", ["plain", "rok"])
@pytest.mark.parametrize("name", list_models())
def test_a_resumed_training_is_bit_equal(tmp_path, name, use):
    # Kills chance that no checkpoint holds, and a state that is no buffer.
    def task():
        seed_everything(7)
        if use == "plain":
            model = create_model(name, SAMPLES.schema, init_std=0.3)
        else:
            base = KnowledgeBase(SAMPLES.schema, KnowledgeBaseConfig(hidden=(12,), dropout=0.2), 7)
            model = with_knowledge(name, SAMPLES.schema, base, UseConfig(update="fg"))
        feeds = (
            Feed(SAMPLES, part, needs=model.needs, neighbours=made_neighbours(SAMPLES, part))
            for part in ("train", "val")
        )
        return CTRTask(model, *feeds)

    config = TrainConfig(epochs=2, batch_size=8, learning_rate=0.01)  # 5 steps an epoch
    whole, resumed = task(), task()
    fit(whole, 40, config, seed=1)
    fit(task(), 40, config, seed=1, folder=tmp_path, stop_after_steps=3)
    torch.rand(3)  # the next process finds another generator
    fit(resumed, 40, config, seed=1, folder=tmp_path)
    for key, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value), key
    judged = predict(whole.module, whole.val)
    assert (predict(resumed.module, resumed.val) == judged).all()
    # What was kept of the best evaluation is what the weights that are left predict.
    assert (whole.predictions == judged).all()


@settings
def test_the_whole_loss_has_finite_gradients_under_bf16_autocast(tiny, name, config):
    torch.manual_seed(0)
    model = create_model(name, tiny.schema, init_std=0.3, **config)
    with torch.autocast("cpu", torch.bfloat16):
        loss = whole_loss(model, tiny.batch)
    loss.backward()
    assert loss.dtype == torch.float32
    for key, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), key


@settings
def test_the_penalty_is_close_under_bf16_autocast(tiny, name, config):
    torch.manual_seed(0)
    model = create_model(name, tiny.schema, init_std=0.3, **config).eval()
    with torch.no_grad():
        _, exact = model.penalised(tiny.batch)
        with torch.autocast("cpu", torch.bfloat16):
            _, rough = model.penalised(tiny.batch)
    assert (rough is None) == (exact is None)
    if exact is not None:
        assert rough.item() == pytest.approx(exact.item(), rel=0.05, abs=1e-6)


@settings
def test_the_whole_loss_runs_on_meta_tensors(tiny, name, config):
    # Kills a tensor of a penalty that is made on the default device, which fails on a GPU.
    model = create_model(name, tiny.schema, **config).to("meta")
    loss = whole_loss(model, tiny.batch.to("meta"))
    loss.backward()
    assert loss.is_meta


@settings
def test_every_parameter_gets_a_gradient_with_every_switch(tiny, name, config):
    torch.manual_seed(0)
    model = create_model(name, tiny.schema, **config)
    whole_loss(model, tiny.batch).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key


@settings
def test_a_row_does_not_depend_on_its_batch_with_any_switch(tiny, name, config):
    torch.manual_seed(0)
    model = create_model(name, tiny.schema, init_std=0.3, **config)
    whole_loss(model, tiny.batch)  # moves what running statistics there are
    model.eval()
    with torch.no_grad():
        whole = model(tiny.batch)
        alone = torch.cat([model(tiny.batch.take(slice(i, i + 1))) for i in range(len(whole))])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("use", KINDS)
@pytest.mark.parametrize("name", READS_NEIGHBOURS)
def test_the_order_of_neighbours_does_not_matter(tiny, name, use, training):
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = {
        part: getattr(tiny.batch, part)[:, order]
        for part in ("neighbours", "neighbour_labels", "neighbour_mask")
    }
    found, expected = (
        make(name, use, tiny.schema, init_std=0.3).train(training)(batch)
        for batch in (dataclasses.replace(tiny.batch, **turned), tiny.batch)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# What each model makes of behaviours in another order, of histories that fit whole into all it
# keeps of them: memories and recurrences differ, attention does not.
ORDERED = {"dien": True, "hpmn": True, "mimn": True, "din": False, "sim": False, "ubr": False}


def test_every_model_that_reads_histories_has_a_row_above():
    reads = {n for n in list_models() if "history" in model_entry(n).target.needs}
    assert reads == set(ORDERED)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("use", KINDS)
@pytest.mark.parametrize(("name", "ordered"), ORDERED.items())
def test_the_order_of_behaviours_matters_where_it_should(tiny, name, ordered, use, training):
    full = tiny.batch.take(tiny.batch.history_mask.all(1).nonzero().squeeze(1))
    turned = dataclasses.replace(full, history=full.history.flip(1))
    found, expected = (
        make(name, use, tiny.schema, init_std=0.5).train(training)(batch)
        for batch in (turned, full)
    )
    change = (found - expected).abs() / expected.abs().max()
    assert (change > 1e-5).all() if ordered else (change < 1e-5).all()


# SIM and UBR choose among behaviours, the newest where they have to: in words of their own.
@pytest.mark.parametrize("name", sorted(set(ORDERED) - {"sim", "ubr"}))
def test_its_docstring_says_whether_the_order_of_behaviours_matters(name):
    said = " ".join(sys.modules[model_entry(name).target.__module__].__doc__.split())
    assert ("The order of behaviours matters." in said) is ORDERED[name]
    assert ("The order of behaviours does not matter." in said) is not ORDERED[name]


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(
    ("setting", "value"), [("embed_dim", 0), ("embed_dim", 2.5), ("init_std", 0.0)]
)
def test_what_all_models_have_is_refused_out_of_range(tiny, name, setting, value):
    with pytest.raises(ConfigError, match=setting):
        create_model(name, tiny.schema, **{setting: value})
