"""The factorisation machine against its double sum."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from rokkit.layers import FactorisationMachine, pairwise_products, pairwise_sum


def test_pairwise_sum_of_hand_made_vectors():
    # ⟨(1,2),(3,4)⟩ + ⟨(1,2),(5,-1)⟩ + ⟨(3,4),(5,-1)⟩ = 11 + 3 + 11; squares do not count.
    v = torch.tensor([[[1.0, 2], [3, 4], [5, -1]], [[7.0, 7], [0, 0], [0, 0]]])
    assert pairwise_sum(v).tolist() == [25, 0]


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4))
def test_pairwise_sum_is_the_sum_of_all_products(rows, m, d):
    v = torch.randn(rows, m, d, generator=torch.Generator().manual_seed(rows + 7 * m + 50 * d))
    torch.testing.assert_close(pairwise_sum(v), pairwise_products(v).sum(1), rtol=1e-4, atol=1e-5)


def test_the_factorisation_machine_is_its_equation():
    torch.manual_seed(0)
    machine, v = FactorisationMachine(3, 2), torch.randn(4, 3, 2)
    w, b = machine.linear.weight.detach().double().numpy()[0], machine.linear.bias.item()
    expected = []
    for row in v.double().numpy():
        first = sum(w[2 * i + j] * row[i, j] for i in range(3) for j in range(2))
        second = sum(float(row[i] @ row[j]) for i in range(3) for j in range(3) if i < j)
        expected.append(b + first + second)
    np.testing.assert_allclose(machine(v).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert sum(p.numel() for p in machine.parameters()) == 3 * 2 + 1


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4))
def test_the_gradient_of_a_pairwise_sum_is_that_of_all_products(rows, m, d):
    made = torch.Generator().manual_seed(rows + 7 * m + 50 * d)
    v, weight = torch.randn(rows, m, d, generator=made), torch.randn(rows, generator=made)
    found, expected = (
        torch.autograd.grad((weight * f(held)).sum(), held)[0]
        for f, held in (
            (pairwise_sum, v.clone().requires_grad_()),
            (lambda held: pairwise_products(held).sum(1), v.clone().requires_grad_()),
        )
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_pairwise_sum_has_the_same_bits_with_and_without_gradients():
    v = torch.randn(5, 4, 3, requires_grad=True)
    with torch.no_grad():
        expected = pairwise_sum(v)
    assert torch.equal(pairwise_sum(v), expected)
