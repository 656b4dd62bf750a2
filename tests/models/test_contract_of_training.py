"""What every registered model keeps while it is trained, with its own loss and its own chance."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from made_models import USES, System, Tiny, as_it_is, created, each, whole_loss, with_switches
from made_samples import made_neighbours, made_samples

from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, with_knowledge
from rokkit.models import create_model, list_models
from rokkit.training import CTRTask, Feed, TrainConfig, fit, predict, seed_everything

settings = each(as_it_is("plain") + with_switches("plain", "both-fix"))


@each(as_it_is("plain", "both-fg") + with_switches("plain", "both-fix"))
def test_a_resumed_training_is_bit_equal(tmp_path: Path, system: System) -> None:
    # Kills chance that no checkpoint holds, and a state that is no buffer.
    samples = dataclasses.replace(made_samples(40), folder=tmp_path)
    np.save(tmp_path / "item_tuples.npy", np.unique(samples.pool.x[:, 1:3], axis=0))

    def task() -> CTRTask:
        seed_everything(7)
        if system.use == "plain":
            model = created(system.name, samples.schema, init_std=0.3, **system.config)
        else:
            base = KnowledgeBase(samples.schema, KnowledgeBaseConfig(hidden=(12,), dropout=0.2), 7)
            use = USES[system.use]
            model = with_knowledge(system.name, samples.schema, base, use, **system.config)
        feeds = (
            Feed(samples, part, needs=model.needs, neighbours=made_neighbours(samples, part))
            for part in ("train", "val")
        )
        return CTRTask(model, *feeds)

    config = TrainConfig(epochs=2, batch_size=8, learning_rate=0.01)  # 5 steps an epoch
    whole, resumed, folder = task(), task(), tmp_path / "fit"
    fit(whole, 40, config, seed=1)
    fit(task(), 40, config, seed=1, folder=folder, stop_after_steps=3)
    torch.rand(3)  # the next process finds another generator
    fit(resumed, 40, config, seed=1, folder=folder)
    for key, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value), key
    judged = predict(whole.module, whole.val)
    assert (predict(resumed.module, resumed.val) == judged).all()
    # What was kept of the best evaluation is what the weights that are left predict.
    assert (whole.predictions == judged).all()


@settings
def test_the_whole_loss_has_finite_gradients_under_bf16_autocast(
    tiny: Tiny, system: System
) -> None:
    model = system.make(tiny.schema, init_std=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        loss = whole_loss(model, tiny.batch)
    loss.backward()
    assert loss.dtype == torch.float32
    for key, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key


@settings
def test_the_penalty_is_close_under_bf16_autocast(tiny: Tiny, system: System) -> None:
    model = system.make(tiny.schema, init_std=0.3).eval()
    with torch.no_grad():
        _, exact = model.penalised(tiny.batch)
        with torch.autocast("cpu", torch.bfloat16):
            _, rough = model.penalised(tiny.batch)
    assert (rough is None) == (exact is None)
    if exact is not None:
        assert rough.item() == pytest.approx(exact.item(), rel=0.05, abs=1e-6)


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(
    ("setting", "value"), [("embed_dim", 0), ("embed_dim", 2.5), ("init_std", 0.0)]
)
def test_what_all_models_have_is_refused_out_of_range(
    tiny: Tiny, name: str, setting: str, value: float
) -> None:
    with pytest.raises(ConfigError, match=setting):
        create_model(name, tiny.schema, **{setting: value})
