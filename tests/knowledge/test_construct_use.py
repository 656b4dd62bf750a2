"""Both stages through the real loop: construct, then train a backbone beside the frozen base."""

import pytest
import torch
from made_samples import made_neighbours, made_samples

from rokkit.knowledge import (
    ConstructConfig,
    ConstructTask,
    KnowledgeBase,
    KnowledgeBaseConfig,
    Projector,
    UseConfig,
    teacher_representations,
    with_knowledge,
)
from rokkit.models import create_model
from rokkit.training import CTRTask, Feed, TrainConfig, fit, predict, seed_everything

SAMPLES = made_samples(96, pool=120)


def feeds(needs):
    return {
        part: Feed(SAMPLES, part, needs=needs, neighbours=made_neighbours(SAMPLES, part))
        for part in ("train", "val")
    }


def constructed():
    """A teacher trained for one epoch, and a base that imitates it."""
    seed_everything(0)
    teacher = create_model("rim", SAMPLES.schema, embed_dim=4)
    held = feeds(teacher.needs)
    config = TrainConfig(epochs=1, batch_size=32)
    fit(CTRTask(teacher, held["train"], held["val"]), 96, config, seed=0)
    r = {part: teacher_representations(teacher, feed) for part, feed in held.items()}
    width = teacher.backbone.representation_dim
    assert r["train"].shape == (96, width)
    base = KnowledgeBase(
        SAMPLES.schema, KnowledgeBaseConfig(dim=2, hidden=(16,), batch_norm=True), width
    )
    bare = feeds(frozenset())
    task = ConstructTask(
        base,
        Projector(width),
        ConstructConfig(alpha=0.2, positive="random"),
        train=bare["train"],
        val=bare["val"],
        r_train=r["train"],
        r_val=r["val"],
        blocks=teacher.backbone.representation_blocks,
    )
    config = TrainConfig(epochs=2, batch_size=32, monitor="loss")
    result = fit(task, 96, config, seed=0)
    blocks = {f"r2_{name}" for name in teacher.backbone.representation_blocks}
    assert blocks <= result.history[0].keys()
    return base


@pytest.mark.parametrize("update", ["fix", "g", "fg"])
def test_stage_2_moves_the_base_only_where_asked(update):
    """Fix: bit-equal, BatchNorm's running statistics included, which only eval mode protects."""
    base = constructed()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    seed_everything(1)
    model = with_knowledge("mlp", SAMPLES.schema, base, UseConfig(update=update), embed_dim=4)
    held = feeds(model.needs)
    config = TrainConfig(epochs=2, batch_size=32, learning_rate=0.01, weight_decay=0.1)
    fit(CTRTask(model, held["train"], held["val"]), 96, config, seed=1)
    after = model.base.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"fix": set(), "g": {"g"}, "fg": {"f", "g"}}[update]


def test_predictions_with_knowledge_do_not_depend_on_the_batch_size():
    model = with_knowledge("mlp", SAMPLES.schema, constructed(), UseConfig(), embed_dim=4)
    val = feeds(model.needs)["val"]
    assert predict(model, val, 5) == pytest.approx(predict(model, val), abs=1e-6)
