"""UBR: what a query finds, and who learns from what."""

import dataclasses
import itertools

import pytest
import torch
from made_samples import made_samples
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.layers import information_gain, selection
from rokkit.models import create_model
from rokkit.training import CTRTask, Feed, TrainConfig, fit, predict, seed_everything

D = 2 * 16  # C·d of the tiny schema at the default width
CHOICES = list(itertools.product((False, True), repeat=2))  # of item and category


def make(tiny, bias=None, **config):
    """UBR with embeddings that differ; `bias` settles what is chosen."""
    torch.manual_seed(0)
    model = create_model("ubr", tiny.schema, init_std=0.5, **config)
    if bias is not None:
        with torch.no_grad():
            model.backbone.selector.score.out.bias.fill_(bias)
    return model


def of(tiny, history, x):
    """The first row with the behaviours `history` and the target `x`, both (item, category)."""
    batch = tiny.batch.take(slice(0, 1))
    target = batch.x.clone()
    target[0, 1:3] = torch.tensor(x)
    return dataclasses.replace(batch, x=target, history=torch.tensor([history]).int())


def phi_of(model, batch):
    return model.backbone.represent(batch, model.embedding)[0]


def embedded(model, *ids):
    return model.embedding(torch.tensor(ids)).flatten()


def choose(monkeypatch, *chosen):
    """Let the next draws be `chosen`, in turn."""
    draws = iter(chosen)
    monkeypatch.setattr(selection, "drawn", lambda odds: next(draws).expand(odds.shape))


def test_a_match_is_found_however_old_it_is(tiny):
    model = make(tiny, bias=5.0, top=1)
    batch = of(tiny, [(70, 96), (71, 96), *[(72, 97)] * 9], (70, 96))
    torch.testing.assert_close(phi_of(model, batch), embedded(model, 70, 96))


def test_with_no_field_selected_the_newest_are_read(tiny):
    model = make(tiny, bias=-50.0, top=1)
    batch = of(tiny, [(70, 96), (71, 97), (72, 98), (0, 0)], (70, 96))
    torch.testing.assert_close(phi_of(model, batch), embedded(model, 72, 98))


def test_where_nothing_matches_phi_is_zero(tiny):
    model = make(tiny, bias=5.0)
    assert not phi_of(model, of(tiny, [(71, 97), (72, 98)], (70, 96))).any()
    assert phi_of(make(tiny, bias=-50.0), of(tiny, [(71, 97), (72, 98)], (70, 96))).any()


def test_phi_is_bilinear_attention_over_what_is_found(tiny):
    model = make(tiny, bias=5.0, top=2)
    batch = of(tiny, [(70, 96), (71, 96), (72, 96), (73, 97)], (70, 96))
    asked = model.backbone.attention.query(model.embedding(batch.x).flatten(1))[0]
    keys = [embedded(model, 70, 96), embedded(model, 72, 96)]  # the best, and the newer of two
    weights = torch.stack([asked @ k for k in keys]).softmax(0)
    expected = weights[0] * keys[0] + weights[1] * keys[1]
    torch.testing.assert_close(phi_of(model, batch), expected)


def test_what_is_chosen_depends_on_all_of_the_target_but_its_user(tiny):
    # ubr.py: the user has to match in any case, and the net does not look at who it is.
    model = make(tiny)
    odds = model.backbone.selector(model.embedding(tiny.batch.x))
    for column, field in enumerate(tiny.schema.fields):
        x = tiny.batch.x.clone()
        x[:, column] = field.offset + (x[:, column] - field.offset + 1) % field.size
        changed = model.backbone.selector(model.embedding(x)) != odds
        assert changed.any().item() == (field.role != "user"), field.name


def test_a_field_is_searched_by_where_its_own_odds_say_so(tiny, monkeypatch):
    # Kills odds of one field that choose another.
    model = make(tiny, top=1)
    batch = of(tiny, [(70, 97), (71, 96)], (70, 96))
    for odds, found in (((1.0, -1.0), (70, 97)), ((-1.0, 1.0), (71, 96))):
        monkeypatch.setattr(model.backbone.selector, "forward", lambda _, o=odds: torch.tensor([o]))
        torch.testing.assert_close(phi_of(model, batch), embedded(model, *found))


def test_chance_is_in_training_only(tiny):
    model = make(tiny, bias=0.0)
    logits = {str(model.penalised(tiny.batch)[0].tolist()) for _ in range(8)}
    assert len(logits) > 1
    model.eval()
    found = [model.penalised(tiny.batch) for _ in range(3)]
    assert all(torch.equal(one, found[0][0]) and penalty is None for one, penalty in found)


def test_the_most_likely_mask_is_that_of_odds_above_one(tiny, monkeypatch):
    # The prediction is what training makes of that mask, not a mean and not a draw.
    model = make(tiny, bias=0.1)  # about half of the fields
    odds = model.backbone.selector(model.embedding(tiny.batch.x))
    assert (odds > 0).any()
    assert (odds < 0).any()
    choose(monkeypatch, odds > 0)
    assert torch.equal(model.penalised(tiny.batch)[0], model(tiny.batch))


def test_each_learns_from_its_own_loss_alone(tiny):
    model = make(tiny)
    logits, loss = model.penalised(tiny.batch)
    selector = list(model.backbone.selector.parameters())
    others = [p for p in model.parameters() if all(p is not one for one in selector)]
    ce = functional.binary_cross_entropy_with_logits(logits, tiny.batch.y)
    held = torch.autograd.grad(ce, selector + others, retain_graph=True, allow_unused=True)
    assert all(g is None for g in held[: len(selector)])
    assert all(g.any() for g in held[len(selector) :])
    held = torch.autograd.grad(loss, selector + others, allow_unused=True)
    assert all(g.any() for g in held[: len(selector)])
    assert all(g is None for g in held[len(selector) :])
    assert loss.item() == 0  # so that the training loss is the cross-entropy


@pytest.mark.parametrize("baseline", ["rows", "draw"])
def test_the_selector_climbs_the_expected_reward(tiny, monkeypatch, baseline):
    # Over all 16 joint masks of two rows: what REINFORCE gives on average is the gradient itself.
    model = make(tiny, baseline=baseline)
    batch = tiny.batch.take(torch.tensor([2, 6]))
    assert batch.history_mask.any(1).all()
    backbone, weights = model.backbone, list(model.backbone.selector.parameters())
    p = backbone.selector(model.embedding(batch.x)).sigmoid()

    def probability(row, choice):
        return torch.stack([p[row, c] if on else 1 - p[row, c] for c, on in enumerate(choice)])

    expected = 0
    for choice in CHOICES:
        choose(monkeypatch, torch.tensor(choice), torch.tensor(choice))
        with torch.no_grad():
            reward = information_gain(model.penalised(batch)[0], batch.y)
        for row in range(2):
            expected = expected - probability(row, choice).prod() * reward[row] / 2
    exact = torch.autograd.grad(expected, weights, retain_graph=True)
    mean = [torch.zeros_like(w) for w in weights]
    for joint in itertools.product(CHOICES, repeat=2):
        share = torch.stack([probability(row, c).prod() for row, c in enumerate(joint)]).prod()
        choose(monkeypatch, torch.tensor(joint), torch.tensor(CHOICES[1]))
        found = torch.autograd.grad(model.penalised(batch)[1], weights)
        for total, one in zip(mean, found, strict=True):
            total += share.detach() * one
    assert any(one.abs().max() > 1e-4 for one in exact)
    torch.testing.assert_close(mean, list(exact), rtol=1e-3, atol=1e-6)


def learners(model, batch):
    """Whether the predictor, the id table and the selector learn from one step's loss."""
    model.zero_grad()
    logits, lesson = model.penalised(batch)
    loss = functional.binary_cross_entropy_with_logits(logits, batch.y)
    (loss if lesson is None else loss + lesson).backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    parts = ("backbone.head", "embedding", "backbone.selector")
    return [any(name.startswith(part) for name in moved) for part in parts]


def test_predictor_and_selector_learn_together_or_take_turns(tiny):
    batch = tiny.batch
    together, by_turns = make(tiny).train(), make(tiny, turns=2).train()
    assert [learners(together, batch) for _ in range(4)] == [[True, True, True]] * 4
    predictor, selector = [True, True, False], [False, False, True]
    assert [learners(by_turns, batch) for _ in range(5)] == (
        [predictor, predictor, selector, selector, predictor]
    )
    by_turns.eval()
    assert by_turns.penalised(batch)[1] is None
    assert by_turns.backbone.taken == 5  # what is not trained on is not counted


def test_idf_of_the_pool_is_saved_with_the_weights(tiny):
    model, pool = make(tiny, bias=5.0, top=1), tiny.batch.x.repeat(3, 1)
    pool[:, 1:3] = torch.tensor([70, 97]).int()
    pool[:2, 2] = 96
    batch = of(tiny, [(70, 98), (71, 96), (0, 0)], (70, 96))
    torch.testing.assert_close(phi_of(model, batch), embedded(model, 70, 98))  # 30 items, 6 kinds
    model.backbone.read_pool(pool.numpy())
    torch.testing.assert_close(phi_of(model, batch), embedded(model, 71, 96))  # 70 is everywhere
    other = make(tiny, top=1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(phi_of(other, batch), phi_of(model, batch))


@pytest.mark.parametrize("turns", [0, 2])
def test_a_resumed_training_draws_what_it_would_have_drawn(tmp_path, turns):
    samples = made_samples(40)
    feeds = [Feed(samples, part, needs={"history"}) for part in ("train", "val")]
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=0.01)

    def task():
        seed_everything(7)
        return CTRTask(create_model("ubr", samples.schema, init_std=0.3, turns=turns), *feeds)

    whole, parts = task(), task()
    fit(whole, 40, config, seed=1)
    fit(task(), 40, config, seed=1, folder=tmp_path, stop_after_steps=3)
    torch.rand(3)
    fit(parts, 40, config, seed=1, folder=tmp_path)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(parts.module.state_dict()[name], value), name
    assert (predict(parts.module, feeds[1]) == predict(whole.module, feeds[1])).all()


def test_parameters_are_as_documented(tiny):
    backbone = create_model("ubr", tiny.schema).backbone
    selector = 3 * 16**2 + 4 * 16 + (16 * 20 + 20 + 20 * 10 + 10 + 11)
    width = D + 4 * 16
    head = width * 200 + 200 + 200 * 80 + 80 + 81
    expected = selector + (4 * 16 + 1) * D + head
    assert sum(p.numel() for p in backbone.parameters()) == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"top": 0}, "top is 0"),
        ({"baseline": "none"}, "'none'"),
        ({"turns": -1}, "turns is -1"),
        ({"embed_dim": 15}, r"embed_dim is 15.*multiple of 2"),
    ],
)
def test_settings_out_of_range_are_refused(tiny, config, message):
    with pytest.raises(ConfigError, match=message):
        create_model("ubr", tiny.schema, **config)
