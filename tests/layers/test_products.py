"""Soft search and heads over what it finds, taken at once, against each by itself."""

import pytest
import torch

from rokkit.layers import HeadAttention, ProductSearch, found, products, search_and_attend
from rokkit.layers.soft_search import weighed_by_products

B, T, D, TOP, LAST = 6, 9, 4, 3, 2
MASK = torch.arange(T) < torch.tensor([9, 0, 5, 1, 2, 7])[:, None]


@pytest.fixture
def inputs():
    """q [B, D] and keys [B, T, D]; keys of padding are noise."""
    torch.manual_seed(0)
    return torch.randn(B, D, requires_grad=True), torch.randn(B, T, D, requires_grad=True)


def layers(heads, projected):
    torch.manual_seed(1)
    made = [HeadAttention(D, heads, 2 * heads, projected=projected) for _ in range(2)]
    return ProductSearch(D), made


def both_ways(monkeypatch, compute):
    """What `compute` gives by the compiled loop and by torch's operations."""
    answers = []
    for loops in (True, False):
        monkeypatch.setattr(products, "worth_a_loop", lambda _, loops=loops: loops)
        answers.append(compute())
    return answers


def gradients(answers, of):
    """Those of sums with different weights, so that nothing cancels out."""
    torch.manual_seed(2)
    loss = sum((one * torch.randn_like(one)).sum() for one in answers)
    return torch.autograd.grad(loss, of)


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_at_once_is_one_after_the_other(inputs, heads, projected, monkeypatch):
    """Kills: heads of one part over what was found for the other; a search that leaves φ."""
    q, keys = inputs
    search, both = layers(heads, projected)
    last = found.newest(MASK, LAST)
    of = [q, keys, *search.parameters(), *both[0].parameters(), *both[1].parameters()]

    def compute():
        phi, pooled = search_and_attend(search, both, q, keys, MASK, last, TOP)
        return [*phi, pooled], gradients([*phi, pooled], of)

    by_loop, by_torch = both_ways(monkeypatch, compute)
    scores = torch.einsum("bd,hd,he,bte->bt", q, search.query.weight, search.key.weight, keys)
    scores = scores * MASK
    held = last, found.best(scores.detach(), MASK, TOP)
    pooled = torch.cat([torch.einsum("bt,bte->be", scores, keys), q], 1)
    expected = [*found.attend_among(both, q, keys, held), pooled]
    of_expected = gradients(expected, of)
    for answers, grads in (by_loop, by_torch):
        torch.testing.assert_close(answers, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(grads, of_expected, rtol=1e-4, atol=1e-5)
    assert all(not one[1].any() for one in expected[:2])  # a user without behaviours


def test_one_row_of_products_is_the_search_alone(inputs, monkeypatch):
    q, keys = inputs
    asked = q[:, None]

    def compute():
        weights, sums = weighed_by_products(asked, keys, MASK)
        assert not weights.requires_grad
        return weights, sums, *gradients([sums], [q, keys])

    by_loop, by_torch = both_ways(monkeypatch, compute)
    torch.testing.assert_close(by_loop, by_torch, rtol=1e-4, atol=1e-5)
    expected = torch.einsum("bd,btd->bt", q, keys) * MASK
    torch.testing.assert_close(by_loop[0][:, 0], expected)


def test_no_gradient_passes_to_what_the_search_asked_by_what_it_found(inputs):
    """And none to padding, whatever its keys are."""
    q, keys = inputs
    search, both = layers(2, projected=True)
    phi, pooled = search_and_attend(search, both, q, keys, MASK, found.newest(MASK, LAST), TOP)
    weights = [search.query.weight, search.key.weight]
    of_found, of_pooled = (
        torch.autograd.grad(total, weights, retain_graph=True)
        for total in (sum(one.sum() for one in phi), pooled.sum())
    )
    assert not any(one.any() for one in of_found)
    assert all(one.any() for one in of_pooled)
    of_keys = gradients([*phi, pooled], keys)[0]
    assert not of_keys[~MASK].any()
    assert of_keys[MASK].any(1).all()
