"""Construction: what is imitated, what is contrasted, and what the loop makes of it."""

import numpy as np
import pytest
import torch
from made_samples import ITEMS, made_neighbours, made_samples, made_schema

from rokkit.errors import ConfigError, DataError
from rokkit.knowledge.base import KnowledgeBase, KnowledgeBaseConfig, Projector
from rokkit.knowledge.construct import (
    ConstructConfig,
    ConstructTask,
    draw_pool_rows,
    set_standardisation,
)
from rokkit.knowledge.losses import construction_loss, imitation_loss
from rokkit.knowledge.positives import Positives
from rokkit.retrieval.neighbours import Neighbours
from rokkit.training import Feed, TrainConfig, fit, seed_everything

R = 8
BLOCKS = {"features": slice(0, 6), "labels": slice(6, 8)}


def learnable(x):
    """r as a fixed function of the item: nothing else has to be remembered."""
    table = np.random.default_rng(9).normal(2.0, [1, 2, 3, 4, 5, 6, 0.1, 0.1], size=(ITEMS, R))
    return table[x[:, 1] - 13].astype(np.float32)


ENCODERS = {
    "mlp": {"hidden": (32,), "batch_norm": True},
    "transformer": {"encoder": "transformer", "layers": 1, "heads": 2, "width": 16},
}


def task_of(
    alpha=0.1,
    positive="top",
    standardise=True,
    rows=400,
    dropout=0.0,
    samples=None,
    encoder="mlp",
    pool_rows=None,
):
    samples = samples or made_samples(rows, pool=300)
    feeds, attention = {}, {}
    for part in ("train", "val"):
        table, more = made_neighbours(samples, part), None
        if part == "train" and pool_rows is not None:
            more = pool_rows
            table = table.followed_by(Neighbours(table.ids[: len(more)], table.scores[: len(more)]))
        feeds[part] = Feed(samples, part, needs=frozenset(), neighbours=table, pool_rows=more)
        attention[part] = np.random.default_rng(6).random(table.ids.shape, dtype=np.float32)
    seed_everything(0)
    config = KnowledgeBaseConfig(
        dim=8, dropout=dropout, standardise=standardise, **ENCODERS[encoder]
    )
    x = feeds["train"].batch(torch.arange(len(feeds["train"]))).x.numpy()
    return ConstructTask(
        KnowledgeBase(made_schema(), config, R),
        Projector(R),
        ConstructConfig(alpha=alpha, positive=positive),
        train=feeds["train"],
        val=feeds["val"],
        r_train=learnable(x),
        r_val=learnable(samples.val.x),
        blocks=BLOCKS,
        attention_train=attention["train"] if positive == "attn" else None,
        attention_val=attention["val"] if positive == "attn" else None,
    )


def training(**values):
    given = {"epochs": 30, "batch_size": 32, "learning_rate": 0.02, "monitor": "loss"}
    return TrainConfig(**given | {"patience": 30} | values)


def measured(task):
    """As the loop measures."""
    task.module.eval()
    with torch.no_grad():
        return task.evaluate()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_what_can_be_learnt_is_learnt(alpha, encoder):
    task = task_of(alpha, encoder=encoder)
    assert measured(task)["r2"] < 0.2
    result = fit(task, 400, training(), seed=0)
    found = measured(task)
    assert found["r2"] > 0.9
    assert found["r2_features"] > 0.9
    assert found["r2_labels"] > 0.9
    assert found["loss"] == result.best_metric


def test_z_lives_in_standardised_space_and_back_in_the_teachers():
    task = task_of(0.0)
    fit(task, 400, training(), seed=0)
    x = torch.from_numpy(made_samples(400, pool=300).val.x)
    r = torch.from_numpy(learnable(x.numpy()))
    with torch.no_grad():
        z = task.base(x)
        assert imitation_loss(task.base.to_teacher_space(z), r) < 0.1 * r.var(0).mean()
        # Raw, the widest dimension would be 3,600 times the narrowest; here they are alike.
        assert 0.5 < z.std(0).min() < z.std(0).max() < 1.5


def test_statistics_are_those_of_train_alone():
    task = task_of()
    r = learnable(made_samples(400, pool=300).train.x).astype(np.float64)
    assert task.base.r_mean.numpy() == pytest.approx(r.mean(0), rel=1e-5)
    assert task.base.r_std.numpy() == pytest.approx(r.std(0), rel=1e-5)
    raw = task_of(standardise=False)
    assert raw.base.r_mean.tolist() == [0.0] * R
    assert raw.base.r_std.tolist() == [1.0] * R


def test_a_dimension_that_never_varies_is_not_divided_by_nothing():
    """float32 noise around 1e3 is no spread either."""
    base = task_of().base
    r = np.tile(np.float32([1000.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), (50, 1))
    r[::2, 0] = np.nextafter(np.float32(1000), np.float32(2000))
    set_standardisation(base, r)
    assert base.r_std.tolist() == [1.0] * R
    assert torch.isfinite(base.standardised(torch.from_numpy(r))).all()


def ranks_by_loop(positive, part):
    """[N]: the rank of each positive in `task_of`'s table, -1 for none."""
    samples = made_samples(400, pool=300)
    ids = made_neighbours(samples, part).ids
    attention = np.random.default_rng(6).random(ids.shape, dtype=np.float32)
    ranks = []
    for i, row in enumerate(ids):
        held = [k for k, n in enumerate(row) if n >= 0]
        if positive == "attn":
            held.sort(key=lambda k: -attention[i, k])
        elif positive == "same_label":
            held = [k for k in held if samples.pool.y[row[k]] == samples.part(part).y[i]]
        ranks.append(held[0] if held else -1)
    return torch.tensor(ranks)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("positive", ["top", "attn", "same_label"])
def test_the_loss_is_eq_8_of_two_passes(positive, encoder):
    """x first, then s, each with its own BatchNorm statistics, the positives by rank."""
    task = task_of(0.3, positive, encoder=encoder)
    rows = torch.arange(20)
    task.module.train()
    found = task.loss(rows)
    other = task_of(0.3, positive, encoder=encoder)
    other.module.train()
    feed = other.train
    x, (s, mask) = feed.batch(rows).x, feed.positives(rows, ranks_by_loop(positive, "train")[rows])
    assert 0 < mask.sum() < 20
    s[~mask] = x[~mask]
    z_x, z_s = other.base(x), other.base(s)
    r = other.base.standardised(torch.from_numpy(learnable(x.numpy())))
    p_x, p_s = other.projector(z_x), other.projector(z_s)
    expected = construction_loss(z_x, r, p_x, z_s, p_s, 0.3, mask=mask)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("positive", ["top", "attn", "random", "same_label"])
def test_no_gradient_goes_through_the_z_that_is_aimed_at(positive, encoder):
    """With the aims written as constants, the gradients are the same."""
    task, other = (task_of(1.0, positive, encoder=encoder) for _ in range(2))
    rows = torch.arange(30)
    for one in (task, other):
        one.module.train()
    torch.manual_seed(5)
    task.loss(rows).backward()
    torch.manual_seed(5)
    s, mask = other.positives.of(rows)
    x = other.train.batch(rows).x
    s = torch.where(mask[:, None], s, x)
    z_x, z_s = other.base(x), other.base(s)
    p_x, p_s = other.projector(z_x), other.projector(z_s)
    aim_s, aim_x = (torch.tensor(z.tolist()) for z in (z_s, z_x))
    cosines = [
        (p * a).sum(1) / (p.norm(dim=1) * a.norm(dim=1)) for p, a in ((p_x, aim_s), (p_s, aim_x))
    ]
    (-0.5 * sum(cosines)[mask].mean()).backward()
    expected = dict(other.module.named_parameters())
    for name, parameter in task.module.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-3, atol=1e-5)
    assert task.base.f.weight.grad.any()


def test_alpha_0_is_imitation_alone_and_leaves_h_and_the_neighbours_out():
    task = task_of(0.0)
    task.module.train()
    loss = task.loss(torch.arange(16))
    loss.backward()
    assert all(p.grad is None for p in task.projector.parameters())
    assert (task.train.batch(torch.arange(16)).x != 0).all()
    touched = task.base.f.weight.grad.abs().sum(1) > 0
    ids = set(task.train.batch(torch.arange(16)).x.flatten().tolist())
    assert set(torch.nonzero(touched).flatten().tolist()) <= ids


def test_the_contrast_is_what_trains_rows_that_only_the_pool_holds():
    task = task_of(0.5)
    task.module.train()
    rows = torch.arange(16)
    task.loss(rows).backward()
    touched = set(torch.nonzero(task.base.f.weight.grad.abs().sum(1)).flatten().tolist())
    only_pool = set(task.train.positives(rows)[0].flatten().tolist()) - set(
        task.train.batch(rows).x.flatten().tolist()
    )
    assert only_pool - {0} <= touched
    assert 0 not in touched


def test_alpha_1_alone_does_not_collapse():
    """Protocol: with the contrast alone, z keeps spread; stop-gradient and h see to that."""
    task = task_of(1.0)
    fit(task, 400, training(epochs=10, learning_rate=0.005), seed=0)
    found = measured(task)
    with torch.no_grad():
        z = task.base(task.val.batch(torch.arange(len(task.val))).x)
    assert found["collapse"] < 0.9
    assert found["effective_rank"] > 1.5
    assert torch.nn.functional.normalize(z).std(0).max() > 0.05


def test_rows_without_a_neighbour_have_no_part_in_the_contrast():
    samples = made_samples(64, pool=80)
    none = Neighbours(np.full((64, 2), -1, np.int32), np.zeros((64, 2), np.float32))
    task = task_of(1.0, samples=samples)
    task.train = Feed(samples, "train", needs=frozenset(), neighbours=none)
    task.positives = Positives(task.train, "top")
    task.module.train()
    loss = task.loss(torch.arange(16))
    assert loss == 0
    assert torch.isfinite(loss)


@pytest.mark.parametrize("positive", ["top", "attn", "same_label"])
def test_validation_contrasts_with_the_same_kind_of_positives(positive):
    task = task_of(0.5, positive)
    found = measured(task)["contrastive"]
    rows = torch.arange(200)
    x, (s, mask) = task.val.batch(rows).x, task.val.positives(rows, ranks_by_loop(positive, "val"))
    with torch.no_grad():
        z_x, z_s = task.base(x[mask]), task.base(s[mask])
        p_x, p_s = task.projector(z_x), task.projector(z_s)
        both = torch.cosine_similarity(p_x, z_s) + torch.cosine_similarity(p_s, z_x)
    assert found == pytest.approx(-both.mean().item() / 2, rel=1e-4)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pool_rows", [None, np.array([2, 3, 299])])
def test_what_validation_reports_is_its_definition(encoder, pool_rows):
    """By NumPy from z and p alone, r in units of what the base is taught."""
    task = task_of(0.3, rows=100, encoder=encoder, pool_rows=pool_rows)
    found = measured(task)
    samples = made_samples(100, pool=300)
    taught = samples.train.x
    if pool_rows is not None:
        taught = np.concatenate([taught, samples.pool.x[pool_rows]])
    r_taught = learnable(taught).astype(np.float64)
    r = (learnable(samples.val.x) - r_taught.mean(0)) / r_taught.std(0)
    first = made_neighbours(samples, "val").ids[:, 0]
    mask = first >= 0
    with torch.no_grad():
        z_x, z_s = (task.base(torch.from_numpy(x)) for x in (samples.val.x, samples.pool.x[first]))
        p_x, p_s = (task.projector(z).double().numpy() for z in (z_x, z_s))
    z_x, z_s = z_x.double().numpy(), z_s.double().numpy()

    def cosines(a, b):
        return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))

    contrast = -((cosines(p_x, z_s) + cosines(p_s, z_x)) / 2)[mask].mean()
    imitation = ((z_x - r) ** 2).mean()
    expected = {"imitation": imitation, "contrastive": contrast}
    expected["loss"] = 0.7 * imitation + 0.3 * contrast
    for name, at in {
        "r2": slice(0, 8),
        "r2_features": slice(0, 6),
        "r2_labels": slice(6, 8),
    }.items():
        varies = ((r[:, at] - r[:, at].mean(0)) ** 2).sum()
        expected[name] = 1 - ((z_x - r)[:, at] ** 2).sum() / varies
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert found.keys() - expected.keys() == {"collapse", "effective_rank"}
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize("positive", ["attn", "random", "same_label"])
def test_validation_draws_nothing_and_repeats_itself(positive):
    task = task_of(0.5, positive)
    before = torch.get_rng_state()
    assert measured(task) == measured(task)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_log_tells_of_the_positives_that_are_contrasted(caplog):
    """Here the best of each sample's four neighbours equals it, and no other does."""
    samples = made_samples(64, pool=300)
    samples.pool.x[:256] = np.tile(samples.train.x, (4, 1))
    samples.pool.x[64:256, 0] = 13 - samples.pool.x[64:256, 0]  # another of 12 users
    ids = np.arange(256, dtype=np.int32).reshape(4, 64).T
    table = Neighbours(ids, np.ones((64, 4), np.float32))
    held = {
        "train": Feed(samples, "train", needs=frozenset(), neighbours=table),
        "val": task_of(samples=samples).val,
        "r_train": learnable(samples.train.x),
        "r_val": learnable(samples.val.x),
    }
    base, h = task_of(samples=samples).base, Projector(R)
    logged = {}
    for positive in ("top", "random"):
        caplog.clear()
        before = torch.get_rng_state()
        with caplog.at_level("INFO", logger="rokkit.knowledge.construct"):
            ConstructTask(base, h, ConstructConfig(positive=positive), **held)
        assert torch.equal(torch.get_rng_state(), before)
        (record,) = caplog.records
        logged[positive] = record.args[-1]
    assert logged["top"] == {"identical": 1.0, "without": 0.0}
    assert logged["random"]["without"] == 0
    assert 0.05 < logged["random"]["identical"] < 0.5  # one of four


def test_validation_positives_do_not_depend_on_when_the_task_is_made():
    """A resumed process makes it anew, with its generators in another state."""
    task = task_of(0.5, positive="random")
    samples = made_samples(400, pool=300)
    r = {"r_train": learnable(samples.train.x), "r_val": learnable(samples.val.x)}
    expected = measured(task)["contrastive"]
    torch.rand(7)
    again = ConstructTask(
        task.base, task.projector, task.config, train=task.train, val=task.val, **r
    )
    assert measured(again)["contrastive"] == expected


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("k", [1, 4, 7, 12])
def test_resumed_construction_is_bit_equal(tmp_path, k, encoder):
    """Random positives and dropout draw from generators that a checkpoint has to bring back."""
    config = training(epochs=2, batch_size=50, checkpoint_every=1)
    outcomes = []
    for folder in (None, tmp_path):
        task = task_of(0.3, "random", dropout=0.2, encoder=encoder)
        if folder:
            fit(task, 400, config, seed=4, folder=folder, stop_after_steps=k)
            task = task_of(0.3, "random", dropout=0.2, encoder=encoder)
            torch.rand(5)
        result = fit(task, 400, config, seed=4, folder=folder)
        outcomes.append((result.history, task.module.state_dict()))
    assert outcomes[0][0] == outcomes[1][0]
    for name, value in outcomes[0][1].items():
        assert torch.equal(value, outcomes[1][1][name]), name


def test_rows_of_the_pool_are_imitated_beside_train_targets():
    samples = made_samples(64, pool=300)
    drawn = np.array([7, 8, 250])
    task = task_of(0.0, samples=samples, pool_rows=drawn)
    joined = np.concatenate([samples.train.x, samples.pool.x[drawn]])
    r = learnable(joined).astype(np.float64)
    assert task.base.r_mean.numpy() == pytest.approx(r.mean(0), rel=1e-5)
    assert task.base.r_std.numpy() == pytest.approx(r.std(0), rel=1e-5)
    task.module.train()
    task.loss(torch.arange(64, 67)).backward()
    touched = set(torch.nonzero(task.base.f.weight.grad.abs().sum(1)).flatten().tolist())
    assert touched == set(samples.pool.x[drawn].flatten().tolist())
    with torch.no_grad():
        task.module.eval()
        z = task.base(torch.from_numpy(samples.pool.x[drawn]))
        expected = imitation_loss(
            z, task.base.standardised(torch.from_numpy(learnable(joined[64:])))
        )
        assert task.loss(torch.arange(64, 67)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_an_item_that_only_the_pool_holds_is_learnt_from_its_rows():
    """What pool rows are for: r of a cold item is a guess without them."""
    samples = made_samples(400, pool=300)
    cold = (samples.train.x[:, 1] - 13) % 3 == 0
    samples.train.x[cold, 1] += 1  # train targets keep two items of three
    drawn = draw_pool_rows(300, 250, 0)
    found = []
    for pool_rows in (None, drawn):
        task = task_of(0.0, samples=samples, pool_rows=pool_rows)
        fit(task, len(task.train), training(), seed=0)
        rows = torch.from_numpy(samples.val.x[(samples.val.x[:, 1] - 13) % 3 == 0])
        with torch.no_grad():
            r = task.base.standardised(torch.from_numpy(learnable(rows.numpy())))
            missed = (task.base(rows) - r).square().sum()
            found.append((1 - missed / (r - r.mean(0)).square().sum()).item())
    assert found[0] < 0.3
    assert found[1] > 0.8


def test_drawn_rows_are_distinct_in_order_and_those_of_the_seed():
    drawn = draw_pool_rows(1000, 400, 3)
    assert drawn.dtype == np.int64
    assert (np.diff(drawn) > 0).all()
    assert 0 <= drawn[0] < 50 < 950 < drawn[-1] < 1000
    assert abs(drawn.mean() - 500) < 50
    assert (draw_pool_rows(1000, 400, 3) == drawn).all()
    assert (draw_pool_rows(1000, 400, 4) != drawn).any()
    assert draw_pool_rows(5, 5, 0).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigError, match="pool_rows is 6; expected at most the 5 rows"):
        draw_pool_rows(5, 6, 0)


def test_what_does_not_fit_is_refused():
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="alpha is"):
            ConstructConfig(alpha=alpha)
    with pytest.raises(ConfigError, match="pool_rows is -1"):
        ConstructConfig(pool_rows=-1)
    config = ConstructConfig()
    object.__setattr__(config, "positive", "best")
    with pytest.raises(ConfigError, match="positive is 'best'"):
        config.__post_init__()
    task = task_of()
    samples = made_samples(400, pool=300)
    held = {
        "train": task.train,
        "val": task.val,
        "r_train": learnable(samples.train.x),
        "r_val": learnable(samples.val.x),
    }
    bare = Feed(samples, "val", needs=frozenset())
    for wrong, error, message in (
        ({"val": bare}, ConfigError, "'val' has no neighbours"),
        ({"r_val": held["r_train"]}, DataError, r"shape \(400, 8\); expected \[200, 8\]"),
        ({"r_train": held["r_train"] * np.nan}, DataError, "finite"),
        ({"r_train": held["r_train"][:, :5]}, DataError, r"\(400, 5\); expected \[400, 8\]"),
        ({"r_train": held["r_train"][:, :1]}, DataError, r"\(400, 1\); expected \[400, 8\]"),
        ({"r_val": held["r_val"][:, :1]}, DataError, r"\(200, 1\); expected \[200, 8\]"),
        ({"config": ConstructConfig(positive="attn")}, ConfigError, "no weights are given"),
    ):
        with pytest.raises(error, match=message):
            ConstructTask(task.base, task.projector, **{"config": task.config} | held | wrong)
