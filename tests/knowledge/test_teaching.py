"""What a teacher says of each sample: r and the weights of its neighbours."""

import numpy as np
import pytest
import torch
from made_samples import made_neighbours, made_samples
from torch import nn

from rokkit.errors import ConfigError
from rokkit.knowledge import teacher_attention, teacher_representations
from rokkit.models import create_model
from rokkit.models.ctr import CTRModel
from rokkit.training import Feed

SAMPLES = made_samples(64)


class Backbone(nn.Module):
    """Its weights depend on the mode, so a teacher left in training mode is noticed."""

    needs = frozenset({"neighbours"})

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def attention_weights(self, batch, embedding):
        return self.drop(batch.neighbours[..., 1].float())


class Teacher(CTRModel):
    """r depends on the mode too."""

    def __init__(self):
        nn.Module.__init__(self)
        self.backbone = Backbone()
        self.embedding = None

    def aggregate(self, batch):
        return self.backbone.drop(batch.neighbours.float().mean(1))


def feed_of(part="train"):
    return Feed(SAMPLES, part, needs={"neighbours"}, neighbours=made_neighbours(SAMPLES, part))


def test_representations_are_those_of_eval_mode_in_the_feeds_order():
    teacher, feed = Teacher(), feed_of()
    found = teacher_representations(teacher, feed, batch_size=10)
    expected = feed.batch(torch.arange(64)).neighbours.float().mean(1)
    assert (found == expected.numpy()).all()
    assert found.dtype == np.float32
    assert teacher.training


def test_so_are_weights():
    teacher, feed = Teacher(), feed_of()
    found = teacher_attention(teacher, feed, batch_size=10)
    assert (found == feed.batch(torch.arange(64)).neighbours[..., 1].numpy()).all()
    assert found.dtype == np.float32
    assert teacher.training


@pytest.mark.parametrize("scale", [False, True])
def test_rims_weights_are_those_that_make_its_r(scale):
    torch.manual_seed(0)
    rim = create_model("rim", SAMPLES.schema, embed_dim=3, init_std=0.8, scale_attention=scale)
    feed = feed_of()
    weights, r = teacher_attention(rim, feed), teacher_representations(rim, feed)
    table, labels = rim.embedding.weight.detach(), rim.backbone.labels.weight.detach()
    for i, ids in enumerate(made_neighbours(SAMPLES, "train").ids):
        expected = np.zeros(5 * 3)
        for weight, n in zip(weights[i], ids, strict=True):
            if n >= 0:
                s = table[SAMPLES.pool.x[n]].flatten().numpy()
                expected += weight * np.concatenate([s, labels[int(SAMPLES.pool.y[n])].numpy()])
        assert r[i] == pytest.approx(expected, abs=1e-5)
        assert weights[i].sum() == pytest.approx(float((ids >= 0).any()), abs=1e-6)
    assert len({tuple(w) for w in weights.round(4).tolist()}) > 30  # they are not all alike


def test_a_teacher_without_weights_is_refused():
    with pytest.raises(
        ConfigError, match=r"the teacher, MLPBackbone, has no weights.* such as rim"
    ):
        teacher_attention(create_model("mlp", SAMPLES.schema), feed_of())


def test_a_batch_without_neighbours_is_refused():
    bare = Feed(SAMPLES, "train", needs=frozenset())
    with pytest.raises(ConfigError, match="the batch has no neighbours"):
        teacher_attention(create_model("rim", SAMPLES.schema), bare)
