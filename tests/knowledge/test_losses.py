"""Eq. 3, 6, 7 and 8: hand numbers, an independent reference, gradients and invariances."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rokkit.errors import ConfigError
from rokkit.knowledge import construction_loss, contrastive_loss, imitation_loss
from rokkit.knowledge.losses import cosine


def four(seed=0, rows=5, width=3):
    """p_x, z_s, p_s, z_x, each with a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, width, generator=generator).requires_grad_() for _ in range(4)]


def reference_contrast(p_x, z_s, p_s, z_x, kept):
    """Eq. 7 by loops."""
    p_x, z_s, p_s, z_x = (t.detach().tolist() for t in (p_x, z_s, p_s, z_x))

    def d(a, b):
        product = sum(u * v for u, v in zip(a, b, strict=True))
        return product / math.hypot(*a) / math.hypot(*b)

    rows = [i for i, keep in enumerate(kept) if keep]
    each = [-(d(p_x[i], z_s[i]) / 2 + d(p_s[i], z_x[i]) / 2) for i in rows]
    return sum(each) / len(each) if each else 0.0


def test_eq3_is_the_mean_over_rows_and_dimensions():
    z, r = torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[1.0, 0], [0, 4]])
    assert imitation_loss(z, r).item() == pytest.approx((0 + 4 + 9 + 0) / 4)


def test_eq3_gives_r_no_gradient():
    z, r = (torch.randn(3, 2, requires_grad=True) for _ in range(2))
    imitation_loss(z, r).backward()
    torch.testing.assert_close(z.grad, 2 * (z - r).detach() / 6)
    assert r.grad is None


def test_eq3_of_other_shapes_is_refused():
    # Kills the silent broadcast of [B, R] against [B, 1].
    with pytest.raises(Exception, match=r"(?i)type-check"):
        imitation_loss(torch.randn(4, 3), torch.randn(4, 1))


def test_eq6_and_7_hand_computed():
    p_x, z_s = torch.tensor([[3.0, 4], [1, 0]]), torch.tensor([[4.0, 3], [0, 2]])
    p_s, z_x = torch.tensor([[0.0, 5], [1, 1]]), torch.tensor([[0.0, 1], [-1, -1]])
    assert cosine(p_x, z_s).tolist() == pytest.approx([24 / 25, 0])
    assert cosine(p_s, z_x).tolist() == pytest.approx([1, -1])
    # row 0: -(.96 + 1) / 2 = -.98; row 1: -(0 - 1) / 2 = .5
    assert contrastive_loss(p_x, z_s, p_s, z_x).item() == pytest.approx(-0.24)


@given(st.integers(0, 99), st.lists(st.booleans(), min_size=5, max_size=5))
def test_eq7_equals_loops_with_and_without_a_mask(seed, kept):
    tensors = four(seed)
    plain = contrastive_loss(*tensors).item()
    assert plain == pytest.approx(reference_contrast(*tensors, [True] * 5), abs=1e-5)
    masked = contrastive_loss(*tensors, torch.tensor(kept)).item()
    assert masked == pytest.approx(reference_contrast(*tensors, kept), abs=1e-5)


def test_eq7_is_symmetric_and_stops_gradients_at_z():
    # Kills a missing stop-gradient, which lets z collapse (SimSiam), and one put on p.
    p_x, z_s, p_s, z_x = four()
    loss = contrastive_loss(p_x, z_s, p_s, z_x)
    assert loss.item() == pytest.approx(contrastive_loss(p_s, z_x, p_x, z_s).item())
    loss.backward()
    assert z_s.grad is None
    assert z_x.grad is None
    assert p_x.grad.any(1).all()
    assert p_s.grad.any(1).all()


def test_eq7_gradient_is_that_of_one_cosine_against_a_constant():
    p_x, z_s, p_s, z_x = four()
    contrastive_loss(p_x, z_s, p_s, z_x).backward()
    found, p_x.grad = p_x.grad, None
    (-0.5 * torch.nn.functional.cosine_similarity(p_x, z_s.detach()).mean()).backward()
    torch.testing.assert_close(found, p_x.grad)


@given(st.floats(0.01, 100), st.integers(0, 99))
def test_eq7_does_not_depend_on_scale_and_lies_between_minus_1_and_1(scale, seed):
    p_x, z_s, p_s, z_x = (t.detach() for t in four(seed))
    plain = contrastive_loss(p_x, z_s, p_s, z_x).item()
    assert -1 - 1e-6 <= plain <= 1 + 1e-6
    assert contrastive_loss(p_x * scale, z_s, p_s, z_x * scale).item() == pytest.approx(
        plain, abs=1e-5
    )
    aligned = contrastive_loss(p_x, p_x * scale, p_s, p_s * scale).item()
    assert aligned == pytest.approx(-1, abs=1e-5)


def test_eq7_leaves_rows_without_a_neighbour_out_of_gradients_too():
    tensors, mask = four(), torch.tensor([True, False, True, False, False])
    contrastive_loss(*tensors, mask).backward()
    assert torch.equal(tensors[0].grad.any(1), mask)


def test_eq7_without_any_neighbour_is_zero_with_zero_gradient():
    tensors = four()
    loss = contrastive_loss(*tensors, torch.zeros(5).bool())
    loss.backward()
    assert loss.item() == 0
    assert not tensors[0].grad.any()


def test_eq7_of_zero_vectors_is_finite():
    zeros = torch.zeros(2, 3, requires_grad=True)
    loss = contrastive_loss(zeros, torch.zeros(2, 3), zeros, torch.zeros(2, 3))
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(zeros.grad).all()


@given(st.floats(0, 1), st.integers(0, 99))
def test_eq8_weighs_both_losses(alpha, seed):
    # Kills alpha on the wrong term.
    p_x, z_s, p_s, z_x = (t.detach() for t in four(seed))
    r, mask = torch.ones_like(z_x), torch.tensor([True, True, False, True, True])
    expected = (1 - alpha) * imitation_loss(z_x, r) + alpha * contrastive_loss(
        p_x, z_s, p_s, z_x, mask
    )
    found = construction_loss(z_x, r, p_x, z_s, p_s, alpha, mask)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_eq8_at_its_ends_is_one_loss_alone(alpha):
    p_x, z_s, p_s, z_x = four()
    r = torch.ones_like(z_x)
    loss = construction_loss(z_x, r, p_x, z_s, p_s, alpha)
    alone = contrastive_loss(p_x, z_s, p_s, z_x) if alpha else imitation_loss(z_x, r)
    assert loss.item() == alone.item()
    loss.backward()
    assert bool(p_x.grad.any()) == (alpha == 1)
    assert bool(z_x.grad.any()) == (alpha == 0)
    assert z_s.grad is None


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_eq8_refuses_alpha_outside_0_to_1(alpha):
    p_x, z_s, p_s, z_x = four()
    with pytest.raises(ConfigError, match=r"alpha is .*; expected a number from 0 to 1"):
        construction_loss(z_x, z_x, p_x, z_s, p_s, alpha)
