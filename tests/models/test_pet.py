"""PET: its graph by loops, what reaches the target, and what may not."""

import dataclasses

import numpy as np
import pytest
import torch

from rokkit.errors import ConfigError
from rokkit.layers.propagation import activated
from rokkit.models import create_model, parameter_counts

D, F = 8, 4  # embedding, fields


@pytest.fixture(params=[True, False], ids=["ids", "target"])
def pet(request, tiny):
    """PET with weights large enough for labels to matter, in eval mode."""
    torch.manual_seed(0)
    model = create_model(
        "pet", tiny.schema, embed_dim=D, hidden=(9, 8), init_std=0.7, read_ids=request.param
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "rounds" in name:
                parameter.normal_(std=0.5)
    return model.eval()


def reference(model, batch):
    """(logits, r) by loops over nodes and edges of a graph per row."""
    n = {k.removeprefix("backbone."): v.double().numpy() for k, v in model.state_dict().items()}
    rounds = model.backbone.config.rounds

    def linear(name, *parts):
        return n[f"{name}.weight"] @ np.concatenate(parts) + n[f"{name}.bias"]

    def activated(state):
        state = np.maximum(state, 0)
        normed = (state - state.mean()) / np.sqrt(state.var() + 1e-5)
        return normed * n["norm.weight"] + n["norm.bias"]

    logits, aggregated = [], []
    for row in range(len(batch)):
        instances = {"target": (batch.x[row].tolist(), np.zeros(D), np.zeros(2 * D))}
        for k in batch.neighbour_mask[row].nonzero().flatten().tolist():
            y = batch.neighbour_labels[row, k]
            instances[k] = (
                batch.neighbours[row, k].tolist(), n["labels.weight"][y], n["edge_labels.weight"][y]
            )  # fmt: skip
        nodes, edges = {}, {}
        for i, (ids, state, edge) in instances.items():
            nodes["instance", i] = state
            for one in ids:
                nodes["id", one] = n["embedding.weight"][one]
                edges[("id", one), ("instance", i)] = edge[:D]
                edges[("instance", i), ("id", one)] = edge[D:]
        for layer in range(rounds):
            after = {}
            for v, h in nodes.items():
                kv = [
                    linear(f"rounds.{layer}.message", nodes[u] * e, nodes[u])
                    for (u, to), e in edges.items() if to == v
                ]  # fmt: skip
                scores = np.exp([linear(f"rounds.{layer}.query", h) * one[:D] for one in kv])
                total = sum(s * one[D:] for s, one in zip(scores, kv, strict=True))
                after[v] = linear(f"rounds.{layer}.node", total / scores.sum(0), h)
            if layer < rounds - 1:
                edges = {
                    (u, v): activated(linear(f"rounds.{layer}.edge", after[u], after[v], e))
                    for (u, v), e in edges.items()
                }
            nodes = {v: activated(h) for v, h in after.items()}
        read = [nodes["id", one] for one in batch.x[row].tolist()]
        r = np.concatenate((read if model.backbone.config.read_ids else []) + [
            nodes["instance", "target"]
        ])  # fmt: skip
        m = r
        for layer in (0, 2):
            m = np.maximum(linear(f"head.hidden.{layer}", m), 0)
        logits.append(linear("head.out", m)[0])
        aggregated.append(r)
    return np.array(logits), np.array(aggregated)


def test_pet_is_its_equations(tiny, pet):
    logits, r = reference(pet, tiny.batch)
    assert np.ptp(logits) > 0.01
    np.testing.assert_allclose(pet(tiny.batch).detach().numpy(), logits, rtol=1e-4, atol=1e-4)
    found = pet.aggregate(tiny.batch).detach().numpy()
    np.testing.assert_allclose(found, r, rtol=1e-3, atol=1e-4)


def test_r_is_ids_then_target(tiny, pet):
    with_ids = pet.backbone.config.read_ids
    target = {"target": slice(F * D, (F + 1) * D) if with_ids else slice(0, D)}
    expected = {"ids": slice(0, F * D)} | target if with_ids else target
    assert pet.backbone.representation_blocks == expected
    assert torch.equal(pet.backbone.represent(tiny.batch, pet.embedding), pet.aggregate(tiny.batch))


def only(batch, k, **neighbour):
    """Every row with k neighbours, made of its own target and what is given by column."""
    rows = batch.x[:, None].repeat(1, k, 1)
    for column, values in neighbour.items():
        rows[..., int(column[1:])] = values
    return dataclasses.replace(
        batch,
        neighbours=rows,
        neighbour_labels=torch.ones(rows.shape[:2], dtype=torch.int32),
        neighbour_mask=torch.ones(rows.shape[:2], dtype=torch.bool),
    )


def test_a_neighbour_that_shares_no_id_is_not_seen(tiny, pet):
    x = tiny.batch.x
    stranger = {  # the next value in every field
        f"c{c}": (f.offset + (x[:, c] - f.offset + 1) % f.size)[:, None]
        for c, f in enumerate(tiny.schema.fields)
    }
    alone = only(tiny.batch, 1)
    alone = dataclasses.replace(alone, neighbour_mask=torch.zeros_like(alone.neighbour_mask))
    seen = only(tiny.batch, 1, **{k: v for k, v in stranger.items() if k != "c1"})
    nothing = pet.aggregate(alone)
    assert torch.equal(pet.aggregate(only(tiny.batch, 1, **stranger)), nothing)
    assert (pet.aggregate(seen) != nothing).any(1).all()


def test_labels_of_others_reach_the_target_and_its_own_does_not(tiny, pet):
    held = only(tiny.batch, 3)
    other = dataclasses.replace(held, neighbour_labels=1 - held.neighbour_labels)
    r = pet.aggregate(held)
    assert (pet.aggregate(other) != r).any(1).all()
    assert torch.equal(pet.aggregate(dataclasses.replace(held, y=1 - held.y)), r)


def test_the_order_of_neighbours_does_not_matter(tiny, pet):
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = dataclasses.replace(
        tiny.batch,
        neighbours=tiny.batch.neighbours[:, order],
        neighbour_labels=tiny.batch.neighbour_labels[:, order],
        neighbour_mask=tiny.batch.neighbour_mask[:, order],
    )
    found, expected = (pet.aggregate(batch) for batch in (turned, tiny.batch))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_best_neighbours_alone_are_read(tiny):
    torch.manual_seed(0)
    batch, every = tiny.batch, create_model("pet", tiny.schema, init_std=0.7, neighbours=0).eval()
    two = create_model("pet", tiny.schema, init_std=0.7, neighbours=2).eval()
    two.load_state_dict(every.state_dict())
    kept = dataclasses.replace(
        batch,
        neighbours=batch.neighbours[:, :2],
        neighbour_labels=batch.neighbour_labels[:, :2],
        neighbour_mask=batch.neighbour_mask[:, :2],
    )
    assert batch.neighbour_mask[:, 2:].any()
    torch.testing.assert_close(two(batch), every(kept))
    assert not torch.allclose(two(batch), every(batch))
    with pytest.raises(ConfigError, match="neighbours is -1; expected at least 0"):
        create_model("pet", tiny.schema, neighbours=-1)


def test_an_id_is_dropped_in_all_of_its_copies_or_in_none(tiny):
    # Kills a graph whose copies of one node drift apart in training.
    model = create_model("pet", tiny.schema, init_std=0.7, dropout=0.5)
    backbone, held = model.backbone, only(tiny.batch, 3)
    graph, sharing = backbone._start(held, model.embedding)
    graph = activated(backbone.rounds[0](graph, sharing), sharing, backbone.norm, 0.5)
    torch.testing.assert_close(graph.ids, sharing.one_of_each(graph.ids))
    assert 0.3 < (graph.ids == 0).float().mean() < 0.7
    assert not torch.equal(graph.inward[:, :, 1] == 0, graph.inward[:, :, 2] == 0)  # edges differ


@pytest.mark.parametrize("rounds", [2, 3])
def test_the_number_of_parameters_is_as_documented(tiny, rounds):
    d, extra = 16, 5
    model = create_model("pet", tiny.schema, rounds=rounds)
    head = ((F + 1) * d) * 200 + 200 + 200 * 80 + 80 + 81
    expected = (rounds - 1) * (10 * d**2 + 5 * d) + 7 * d**2 + 4 * d + 6 * d + 2 * d + head
    assert parameter_counts(model)["dense"] == expected
    wider = type(model.backbone)(tiny.schema, model.backbone.config, extra)
    assert sum(p.numel() for p in wider.parameters()) == expected + extra * 200


def test_a_single_round_is_refused(tiny):
    with pytest.raises(ConfigError, match="rounds is 1; expected at least 2"):
        create_model("pet", tiny.schema, rounds=1)
