"""The field selector against loops, and REINFORCE against every outcome there can be."""

import itertools
import math

import numpy as np
import pytest
import torch

from rokkit.errors import ConfigError
from rokkit.layers import FieldSelector, drawn, information_gain, log_likelihood, reinforce

CHOICES = list(itertools.product((False, True), repeat=2))  # of one row with C = 2


def shaken(selector):
    """Random weights, so that none hides behind a zero or a one."""
    with torch.no_grad():
        for parameter in selector.parameters():
            parameter.normal_(std=0.7)
    return selector


def selector_by_loops(selector, fields, read, choice):
    """Log-odds by loops over rows, heads and fields."""
    n = {name: value.double().numpy() for name, value in selector.state_dict().items()}
    odds = []
    for row in fields.double().numpy():
        e = row[list(read)]
        u = (e - e.mean(1, keepdims=True)) / np.sqrt(e.var(1, keepdims=True) + 1e-8)
        u = u * n["norm.weight"] + n["norm.bias"]
        q, v = (
            [n[f"{part}.weight"] @ one + n[f"{part}.bias"] for one in held]
            for part, held in (("query", u), ("value", e))
        )
        k = [n["key.weight"] @ one for one in e]
        for place in map(read.index, choice):
            s, half = u[place].copy(), e.shape[1] // 2
            for head in (slice(0, half), slice(half, None)):
                weights = np.exp([q[place][head] @ one[head] / math.sqrt(half) for one in k])
                for weight, value in zip(weights / weights.sum(), v, strict=True):
                    s[head] += weight * value[head]
            for layer in ("score.hidden.0", "score.hidden.2"):
                s = np.maximum(n[f"{layer}.weight"] @ s + n[f"{layer}.bias"], 0)
            odds.append((n["score.out.weight"] @ s + n["score.out.bias"])[0])
    return np.array(odds).reshape(len(fields), -1)


def test_the_selector_is_its_equations():
    torch.manual_seed(0)
    read, choice = (1, 2, 4), (4, 2)
    selector, fields = shaken(FieldSelector(6, read, choice)), torch.randn(5, 5, 6)
    expected = selector_by_loops(selector, fields, read, choice)
    np.testing.assert_allclose(selector(fields).detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_the_selector_reads_the_columns_it_is_told_to():
    torch.manual_seed(0)
    selector, fields = shaken(FieldSelector(4, (1, 2), (2,))), torch.randn(3, 3, 4)
    user, other = fields.clone(), fields.clone()
    user[:, 0], other[:, 1] = 0, 0
    assert torch.equal(selector(user), selector(fields))
    assert (selector(other) != selector(fields)).all()


def test_what_has_learned_nothing_chooses_every_field():
    torch.manual_seed(0)
    odds = FieldSelector(16, (0, 1, 2), (0, 1, 2))(torch.randn(50, 3, 16) * 0.01)
    assert (odds > 0).all()


def test_the_selector_moves_no_embedding():
    fields = torch.randn(3, 3, 4, requires_grad=True)
    selector = FieldSelector(4, (0, 1, 2), (0, 1))
    selector(fields).sum().backward()
    assert fields.grad is None
    assert all(parameter.grad is not None for parameter in selector.parameters())


def test_autocast_turns_no_choice():
    torch.manual_seed(0)
    selector, fields = shaken(FieldSelector(8, (0, 1, 2), (0, 1, 2))), torch.randn(40, 3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        rough = selector(fields)
    assert torch.equal(rough, selector(fields))


def test_parameters_are_as_documented():
    d = 16
    selector = FieldSelector(d, (0, 1), (1,))
    mlp = (d + 1) * 20 + 21 * 10 + 11
    assert sum(p.numel() for p in selector.parameters()) == 3 * d * d + 4 * d + mlp


def test_an_odd_width_is_refused():
    with pytest.raises(ConfigError, match=r"embed_dim is 5.*multiple of 2"):
        FieldSelector(5, (0,), (0,))


def test_likelihoods_of_all_choices_add_up_to_one():
    odds = torch.tensor([[0.3, -1.2]])
    p = torch.sigmoid(odds)[0]
    found = {c: log_likelihood(odds, torch.tensor([c])).exp().item() for c in CHOICES}
    assert sum(found.values()) == pytest.approx(1)
    assert found[True, False] == pytest.approx((p[0] * (1 - p[1])).item())


def test_draws_come_as_often_as_their_odds_say():
    torch.manual_seed(0)
    odds = torch.tensor([-2.0, 0.0, 1.0]).expand(20_000, 3)
    share = drawn(odds).float().mean(0)
    torch.testing.assert_close(share, odds[0].sigmoid(), rtol=0, atol=0.02)


def test_the_reward_by_hand():
    # A coin's guess is worth 0, certainty 1, and nothing less than -1.
    logits = torch.tensor([0.0, 0.0, 30.0, -30.0, math.log(3), -math.log(3)])
    y = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    found = information_gain(logits, y)
    expected = [0, 0, 1, -1, 1 - math.log(4 / 3) / math.log(2), -1]  # p = 3/4 and 1/4
    np.testing.assert_allclose(found, expected, atol=1e-6)


def expected_gradients(odds, rewards, baseline):
    """(gradient of −mean E[R], mean gradient of `reinforce`), over every joint choice of all rows.

    `rewards` [B, 4] holds R of each of a row's CHOICES.
    """
    exact = odds.clone().requires_grad_()
    total = 0
    for row, per_choice in enumerate(rewards):
        for choice, reward in zip(CHOICES, per_choice, strict=True):
            p = exact[row].sigmoid()
            total = total + reward * math.prod(
                p[c] if on else 1 - p[c] for c, on in enumerate(choice)
            )
    (-total / len(rewards)).backward()
    mean = torch.zeros_like(odds)
    for picks in itertools.product(range(4), repeat=len(rewards)):
        chosen = torch.tensor([CHOICES[i] for i in picks])
        leaf = odds.clone().requires_grad_()
        log_p = log_likelihood(leaf, chosen)
        reward = rewards[torch.arange(len(rewards)), torch.tensor(picks)]
        reinforce(log_p, reward, baseline).backward()
        mean += log_p.detach().sum().exp() * leaf.grad
    return exact.grad, mean


@pytest.mark.parametrize("baseline", [None, torch.tensor([0.4, -0.3, 0.1])])
def test_reinforce_is_right_on_average_over_every_choice(baseline):
    # Kills rewards for chosen fields alone, a row in its own baseline, and a wrong sign.
    torch.manual_seed(0)
    odds, rewards = torch.randn(3, 2).double(), torch.randn(3, 4).double()
    exact, mean = expected_gradients(odds, rewards, None if baseline is None else baseline.double())
    torch.testing.assert_close(mean, exact)


def test_its_value_is_zero_and_rewards_get_no_gradient():
    log_p, reward = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    loss = reinforce(log_p, reward)
    loss.backward()
    assert loss.item() == 0
    assert log_p.grad.any()
    assert reward.grad is None


def test_one_row_alone_teaches_nothing():
    log_p = torch.zeros(1, requires_grad=True)
    reinforce(log_p, torch.tensor([0.7])).backward()
    assert not log_p.grad.any()


def test_equal_rewards_teach_nothing():
    log_p = torch.zeros(5, requires_grad=True)
    reinforce(log_p, torch.full((5,), 0.5)).backward()
    assert log_p.grad.abs().max() < 1e-7


def test_what_pays_comes_to_be_chosen():
    torch.manual_seed(0)
    odds = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([odds], lr=0.05)
    for _ in range(150):
        every = odds.expand(64, 2)
        chosen = drawn(every)
        paid = (chosen == torch.tensor([True, False])).all(1).float()
        optimizer.zero_grad()
        reinforce(log_likelihood(every, chosen), paid).backward()
        optimizer.step()
    assert odds[0] > 1
    assert odds[1] < -1
