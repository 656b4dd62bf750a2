"""SIM: what its searches find, what they may not, and what teaches them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.layers import ActivationUnit, HeadAttention
from rokkit.models import create_model

D = 2 * 16  # C·d of the tiny schema at the default width
HEADS = 2
ITEM, CATEGORY = 1, 2  # columns of the tiny schema


def make(tiny, **config):
    """SIM with embeddings large enough for attention to differ between behaviours."""
    torch.manual_seed(0)
    return create_model("sim", tiny.schema, init_std=0.5, **config)


def with_history(tiny, *histories, x=None):
    """A batch of the first rows with these lists of (item, category), and targets `x`."""
    longest = max(map(len, histories))
    padded = [[*h, *[(0, 0)] * (longest - len(h))] for h in histories]
    batch = tiny.batch.take(slice(0, len(histories)))
    target = batch.x.clone()
    if x is not None:
        target[:, [ITEM, CATEGORY]] = torch.tensor(x).int()
    history = torch.tensor(padded).int().reshape(len(histories), longest, 2)
    return dataclasses.replace(batch, history=history, x=target)


def attended(attention, model, target, behaviours):
    """Σ softmax(a(q, k)) k over a list of ids, by its unit's scores one by one, or by its heads."""
    if not behaviours:
        return np.zeros(D * (HEADS if model.backbone.config.attention == "heads" else 1))
    q = model.embedding(torch.tensor([target])).flatten(1)
    keys = model.embedding(torch.tensor(behaviours)).flatten(1)
    if isinstance(attention, HeadAttention):
        return attention(q, keys[None], torch.ones(1, len(keys)).bool())[0].detach().numpy()
    scores = [attention.unit(q, k[None], torch.tensor([0])).item() for k in keys]
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ keys.detach().numpy()


def soft_scores(model, target, behaviours):
    """⟨W_b k, W_a q⟩ of a list of ids."""
    q, keys = (model.embedding(torch.tensor(i)).flatten(-2) for i in (target, behaviours))
    return (model.backbone.soft.key(keys) @ model.backbone.soft.query(q)).tolist()


@pytest.mark.parametrize("attention", ["unit", "heads", "projected"])
@pytest.mark.parametrize("search", ["hard", "soft"])
def test_phi_is_two_attentions_over_what_is_found(tiny, search, attention):
    top = {"short": 2, "soft_top": 3, "hard_top": 3}
    model = make(tiny, search=search, attention=attention, heads=HEADS, **top).eval()
    phi = model.backbone.represent(tiny.batch, model.embedding).detach().numpy()
    for row, own in enumerate(tiny.batch.history.tolist()):
        target = tiny.batch.x[row, [ITEM, CATEGORY]].tolist()
        behaviours = [one for one in own if one[0] != 0]
        if search == "hard":
            found = [one for one in behaviours if one[1] == target[1]][-3:]
        else:
            scores = soft_scores(model, target, behaviours) if behaviours else []
            found = [behaviours[t] for t in np.argsort(scores)[::-1][:3]]
        expected = np.concatenate(
            [
                attended(model.backbone.short, model, target, behaviours[-2:]),
                attended(model.backbone.long, model, target, found),
            ]
        )
        np.testing.assert_allclose(phi[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["unit", "projected"])
def test_no_match_is_a_zero_vector_and_no_history_two(tiny, attention):
    # Kills a softmax over nothing, which is an even mean of padding or of what was left out.
    model = make(tiny, attention=attention)
    batch = with_history(
        tiny, [(65, 95), (66, 96)], [(67, 97)], [], x=[[70, 96], [70, 96], [70, 96]]
    )
    phi = model.backbone.represent(batch, model.embedding)
    filled = [(part.any(1)).tolist() for part in phi.split(D, 1)]
    assert filled == [[True, True, False], [True, False, False]]


def test_one_match_is_its_own_interest_wherever_it_lies(tiny):
    # The short part cannot see it; the long part sees nothing else.
    model = make(tiny, short=1)
    behaviours = [(65, 96), *[(66, 97)] * 8]
    batch = with_history(tiny, behaviours, x=[[70, 96]])
    phi = model.backbone.represent(batch, model.embedding)
    torch.testing.assert_close(phi[0, D:], model.embedding(torch.tensor([65, 96])).flatten())
    torch.testing.assert_close(phi[0, :D], model.embedding(torch.tensor([66, 97])).flatten())


def test_other_categories_do_not_reach_the_long_part(tiny):
    model = make(tiny, short=1).eval()
    one, other = (
        with_history(tiny, [(65, 96), (noise, 97), (66, 96), (67, 96)], x=[[70, 96]])
        for noise in (80, 81)
    )
    found = (model.backbone.represent(batch, model.embedding) for batch in (one, other))
    assert torch.equal(*found)


def test_a_missing_category_is_searched_for_among_behaviours_alone(tiny):
    # Kills padding, which holds 0 too, that takes the places of what would be found.
    model = make(tiny, hard_top=2, short=1)
    batch = with_history(tiny, [(65, 0), (66, 97)], [(67, 97)] * 6, x=[[70, 0], [70, 0]])
    phi = model.backbone.represent(batch, model.embedding)
    torch.testing.assert_close(phi[0, D:], model.embedding(torch.tensor([65, 0])).flatten())
    assert not phi[1, D:].any()


def test_at_most_the_newest_of_a_category(tiny):
    model = make(tiny, hard_top=2, short=1).eval()
    one, other = (
        with_history(tiny, [(oldest, 96), (66, 96), (68, 97), (67, 96)], x=[[70, 96]])
        for oldest in (80, 81)
    )
    found = (model.backbone.represent(batch, model.embedding) for batch in (one, other))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("items", "place"),
    [
        (("item", "category", "seller", "brand"), 1),  # Tmall
        (("item", "category"), 1),  # Taobao
        (("item", "seller", "category"), 2),  # Alipay
        (("movie", "genre"), 1),
        (("product", "department", "brand"), 1),
        (("item",), 0),
    ],
)
def test_hard_search_goes_by_the_category_wherever_it_stands(tiny, items, place):
    """Kills: the second field, which is the seller in Alipay's format."""
    field = tiny.schema.fields[0]
    fields = tuple(
        dataclasses.replace(field, name=name, role=role, offset=1 + 10 * i, size=10)
        for i, (name, role) in enumerate([("user", "user"), *((n, "item") for n in items)])
    )
    schema = dataclasses.replace(tiny.schema, fields=fields, retrieval=("user",))
    assert create_model("sim", schema).backbone.category == place


def test_the_field_it_goes_by_is_the_category_or_the_one_named(tiny):
    same_item, same_category = [(70, 97)], [(71, 96)]
    batch = with_history(tiny, same_item, same_category, x=[[70, 96], [70, 96]])
    long = {}
    for category in ("", "category", "item"):
        model = make(tiny, category=category)
        phi = model.backbone.represent(batch, model.embedding)
        long[category] = phi[:, D:].any(1).tolist()
    assert long == {"": [False, True], "category": [False, True], "item": [True, False]}


def test_with_one_item_field_it_goes_by_the_item(tiny):
    fields = tuple(
        dataclasses.replace(f, role="context" if f.name == "category" else f.role)
        for f in tiny.schema.fields
    )
    schema = dataclasses.replace(tiny.schema, fields=fields)
    batch = dataclasses.replace(tiny.batch, history=tiny.batch.history[..., :1])
    model = create_model("sim", schema)
    assert model.backbone.category == 0
    assert torch.isfinite(model(batch)).all()


@pytest.mark.parametrize("attention", ["unit", "heads", "projected"])
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_no_soft_search(tiny, training, attention):
    more = tiny.batch.history.new_zeros(len(tiny.batch), 3, 2)
    longer = dataclasses.replace(tiny.batch, history=torch.cat([tiny.batch.history, more], 1))
    found, expected = (
        make(tiny, search="soft", soft_top=4, attention=attention).train(training).penalised(batch)
        for batch in (longer, tiny.batch)
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("on_history", [True, False])
def test_soft_search_sees_of_a_knowledge_base_what_histories_may_show(tiny, on_history):
    # Kills keys that are looked up as a target's ids are.
    torch.manual_seed(0)
    base = KnowledgeBase(tiny.schema, KnowledgeBaseConfig(hidden=(12,), init_std=0.3), 7)
    use = UseConfig(manner="feature", on_history=on_history)
    model = with_knowledge("sim", tiny.schema, base, use, search="soft", init_std=0.5).eval()
    target = set(tiny.batch.x.flatten().tolist())
    own = [i for i in set(tiny.batch.history.flatten().tolist()) - target if i]
    before = model.penalised(tiny.batch)[1]
    with torch.no_grad():
        model.base.f.weight[own] += 3
    assert (model.penalised(tiny.batch)[1] != before).item() == on_history


@pytest.mark.parametrize("attention", ["unit", "heads", "projected"])
def test_only_its_own_loss_teaches_soft_search(tiny, attention):
    # A top K passes no gradient: without the loss W_a and W_b would stay as they were drawn.
    model = make(tiny, search="soft", attention=attention)
    logits, loss = model.penalised(tiny.batch)
    searching = [model.backbone.soft.query.weight, model.backbone.soft.key.weight]
    alone = torch.autograd.grad(logits.sum(), searching, retain_graph=True, allow_unused=True)
    assert not any(one is not None and one.any() for one in alone)
    loss.backward()
    assert all(weight.grad.any() for weight in searching)
    assert all(p.grad.any() for p in model.backbone.auxiliary.parameters())
    assert all(p.grad is None for p in model.backbone.head.parameters())


def test_the_loss_of_soft_search_is_weighed_cross_entropy(tiny):
    model = make(tiny, search="soft", aux_weight=0.3).eval()
    found = model.penalised(tiny.batch)[1]
    pooled = []
    for row, own in enumerate(tiny.batch.history.tolist()):
        target = tiny.batch.x[row, [ITEM, CATEGORY]].tolist()
        behaviours = [one for one in own if one[0] != 0]
        keys = model.embedding(torch.tensor(behaviours).reshape(-1, 2).int()).flatten(1)
        scores = torch.tensor(soft_scores(model, target, behaviours) if behaviours else [])
        q = model.embedding(torch.tensor(target)).flatten()
        pooled.append(torch.cat([(scores[:, None] * keys).sum(0), q]))
    guess = model.backbone.auxiliary(torch.stack(pooled)).squeeze(1)
    expected = functional.binary_cross_entropy(guess.sigmoid(), tiny.batch.y)
    torch.testing.assert_close(found, 0.3 * expected)


def test_hard_search_has_no_loss_of_its_own(tiny):
    model = make(tiny)
    logits, penalty = model.penalised(tiny.batch)
    assert penalty is None
    assert torch.equal(logits, make(tiny)(tiny.batch))


@pytest.mark.parametrize("search", ["hard", "soft"])
def test_parameters_are_as_documented(tiny, search):
    backbone = create_model("sim", tiny.schema, search=search).backbone

    def head(width):
        return width * 200 + 200 + 200 * 80 + 80 + 81

    units = 2 * (3 * D * 80 + 80 * 40 + 280)
    expected = units + head(2 * D + 4 * 16) + (search == "soft") * (2 * D * D + head(2 * D))
    assert sum(p.numel() for p in backbone.parameters()) == expected
    assert isinstance(backbone.short.unit, ActivationUnit)
    assert backbone.short.unit is not backbone.long.unit
    for attention, each, width in (("heads", 2 * 64 * D, 4 * D), ("projected", 4 * 64 * D, D)):
        backbone = create_model("sim", tiny.schema, search=search, attention=attention).backbone
        others = expected - units - head(2 * D + 4 * 16)
        found = sum(p.numel() for p in backbone.parameters())
        assert found == others + 2 * each + head(2 * width + 4 * 16)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"search": "fuzzy"}, "'fuzzy'"),
        ({"category": "user"}, r"category is 'user'.*\['item', 'category'\]"),
        ({"short": 0}, "short is 0"),
        ({"hard_top": 0}, "hard_top is 0"),
        ({"soft_top": 0}, "soft_top is 0"),
        ({"aux_weight": 0.0}, "aux_weight is 0"),
        ({"attention_hidden": ()}, "attention_hidden"),
        ({"attention_hidden": (80, 0)}, "attention_hidden"),
        ({"attention": "head"}, "'head'"),
        ({"heads": 0}, "heads is 0"),
        ({"attention_dim": 0}, "attention_dim is 0"),
        ({"attention_dim": 30}, "attention_dim is 30; expected a multiple of 4 heads"),
    ],
)
def test_settings_out_of_range_are_refused(tiny, config, message):
    with pytest.raises(ConfigError, match=message):
        create_model("sim", tiny.schema, **config)
