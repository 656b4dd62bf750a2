"""Messages over a graph against loops over its edges."""

import numpy as np
import pytest
import torch
from torch import nn

from rokkit.layers import propagation
from rokkit.layers.propagation import Graph, PropagationLayer, Sharing, joint, shared_attention

B, F, N, D = 3, 4, 5, 3


@pytest.fixture
def sharing():
    """Few ids, so that instances share many; the last two of row 0 are padding."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 4, (B, F, N), generator=generator)
    mask = torch.ones(B, N, dtype=torch.bool)
    mask[0, 3:] = False
    return ids, mask, Sharing.of(ids, mask)


def states(*shape):
    return torch.randn(*shape, D)


def one_of_each(copies, sharing):
    """Equal states for the copies of one id."""
    return sharing.one_of_each(copies)


def test_sharing_is_equality_within_a_field_among_those_that_are_there(sharing):
    ids, mask, found = sharing
    for b, f, i, j in np.ndindex(B, F, N, N):
        there = bool(mask[b, i] and mask[b, j]) and bool(ids[b, f, i] == ids[b, f, j])
        assert bool(found.same[b, f, i, j]) == (there or i == j)
    for b, f, i in np.ndindex(B, F, N):
        assert found.first[b, f, i] == found.same[b, f, i].nonzero()[0]


def test_shared_attention_is_a_softmax_over_those_that_share(sharing):
    torch.manual_seed(0)
    _, _, held = sharing
    scores, values = states(B, F, N) * 3, states(B, F, N)
    found = shared_attention(scores, values, held)
    for b, f, i in np.ndindex(B, F, N):
        group = held.same[b, f, i]
        s, v = scores[b, f, group].double().numpy(), values[b, f, group].double().numpy()
        for dim in range(D):
            weights = np.exp(s[:, dim]) / np.exp(s[:, dim]).sum()
            assert float(found[b, f, i, dim]) == pytest.approx(weights @ v[:, dim], abs=1e-5)
    first = propagation.first_attention(scores, values, held)
    torch.testing.assert_close(first, found[:, :, :1])


@pytest.mark.parametrize("far", [200.0, -200.0])
def test_an_id_with_far_lower_or_higher_scores_than_the_others_keeps_its_weights(sharing, far):
    # Kills a softmax shifted by the highest score of the field in place of the id's own.
    _, _, held = sharing
    scores, values = torch.zeros(B, F, N, D), states(B, F, N)
    expected = shared_attention(scores, values, held)
    one = held.same[:, :, 0, :, None]  # those that share the first instance's id
    scores = torch.where(one, scores + far, scores).requires_grad_()
    found = shared_attention(scores, values, held)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_joint_is_the_layer_over_its_parts_side_by_side():
    torch.manual_seed(0)
    linear, a, b = nn.Linear(5, 4), torch.randn(2, 1, 6, 2), torch.randn(2, 7, 6, 3)
    expected = linear(torch.cat([a.expand(2, 7, 6, 2), b], -1))
    torch.testing.assert_close(joint(linear, a, b), expected)


def reference(layer, graph, ids, mask):
    """The layer by loops over a graph of nodes and edges, row by row; what it gives by name."""
    n = {name: value.double().numpy() for name, value in layer.state_dict().items()}

    def linear(name, *parts):
        return n[f"{name}.weight"] @ np.concatenate(parts) + n[f"{name}.bias"]

    found = []
    for b in range(B):
        nodes, edges = {}, {}
        for i in range(N):
            if not mask[b, i]:
                continue
            nodes["instance", i] = graph.instances[b, i].double().numpy()
            for f in range(F):
                key = (f, int(ids[b, f, i]))
                nodes[key] = graph.ids[b, f, i].double().numpy()
                edges[key, ("instance", i)] = graph.inward[b, f, i].double().numpy()
                edges[("instance", i), key] = graph.outward[b, f, i].double().numpy()
        after = {}
        for v, h in nodes.items():
            arriving = [(nodes[u], e) for (u, to), e in edges.items() if to == v]
            kv = [linear("message", h_u * e, h_u) for h_u, e in arriving]
            scores = np.exp([linear("query", h) * one[:D] for one in kv])
            total = sum(s * one[D:] for s, one in zip(scores, kv, strict=True))
            after[v] = linear("node", total / scores.sum(0), h)
        new = edges
        if "edge.weight" in n:
            new = {(u, v): linear("edge", after[u], after[v], e) for (u, v), e in edges.items()}
        found.append((after, new))
    return found


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("following", [0, 1, 2])
def test_a_layer_is_its_equations_on_a_graph_with_one_node_per_id(sharing, following, alike):
    # Of the states, those that `following` layers read; `alike`: edges of all fields start equal.
    torch.manual_seed(0)
    ids, mask, held = sharing
    layer = PropagationLayer(D, following)
    edges_in, edges_out = (states(B, 1 if alike else F, N) for _ in range(2))
    graph = Graph(states(B, N), one_of_each(states(B, F, N), held), edges_in, edges_out)
    found = layer(graph, held)
    whole = graph._replace(inward=edges_in.expand(B, F, N, D), outward=edges_out.expand(B, F, N, D))
    instances, at = N if following else 1, N if following > 1 else 1
    assert found.instances.shape == (B, instances, D)
    assert found.ids.shape == (B, F, at, D)
    for b, (nodes, edges) in enumerate(reference(layer, whole, ids, mask)):
        for i in range(instances):
            if not mask[b, i]:
                continue
            close(found.instances[b, i], nodes["instance", i])
            for f in range(F):
                key = (f, int(ids[b, f, i]))
                if i < at:
                    close(found.ids[b, f, i], nodes[key])
                    if following:
                        close(found.inward[b, f, i], edges[key, ("instance", i)])
                if following and (at == N or held.same[b, f, 0, i]):
                    close(found.outward[b, f, i], edges[("instance", i), key])


def close(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("following", [0, 1, 2])
def test_a_layer_has_as_many_parameters_as_documented(following):
    count = sum(p.numel() for p in PropagationLayer(16, following).parameters())
    assert count == (10 * 16**2 + 5 * 16 if following else 7 * 16**2 + 4 * 16)
