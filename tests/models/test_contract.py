"""What every registered model keeps, by itself and with a knowledge base in every way of use."""

import dataclasses
import warnings

import pytest
import torch
from made_batches import tiny_batch
from made_models import KINDS, USES, make
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.evaluation import auc
from rokkit.models import create_model, list_models, model_entry

SYSTEMS = [(name, use) for name in list_models() for use in ("plain", *USES)]
READS_HISTORY = [n for n in list_models() if "history" in model_entry(n).target.needs]
READS_NEIGHBOURS = [n for n in list_models() if "neighbours" in model_entry(n).target.needs]
TEACHERS = [n for n in list_models() if model_entry(n).meta["teacher"]]


def still(name):
    """Settings at which training mode draws nothing, of a model that says it has such."""
    return dict(getattr(model_entry(name).target, "chance", {}))


def padded(tensor, dim=1, by=3):
    """`tensor` with `by` more places of zeros at the end of `dim`."""
    shape = list(tensor.shape)
    shape[dim] = by
    return torch.cat([tensor, tensor.new_zeros(shape)], dim)


systems = pytest.mark.parametrize(("name", "use"), SYSTEMS, ids=[f"{n}-{u}" for n, u in SYSTEMS])
kinds = pytest.mark.parametrize("use", KINDS)
both_modes = pytest.mark.parametrize("training", [True, False])


@systems
@both_modes
def test_logits_are_one_finite_float_per_row(tiny, name, use, training):
    logits = make(name, use, tiny.schema).train(training)(tiny.batch)
    assert logits.shape == (len(tiny.batch),)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert len(logits.unique()) > len(logits) / 2  # they depend on the row


@systems
def test_the_penalty_is_one_number_beside_the_same_logits(tiny, name, use):
    model = make(name, use, tiny.schema).eval()
    logits, penalty = model.penalised(tiny.batch)
    assert torch.equal(logits, model(tiny.batch))
    if penalty is not None:
        assert penalty.shape == ()
        assert torch.isfinite(penalty)
        assert penalty >= 0


@systems
def test_every_trainable_parameter_gets_a_gradient_and_no_other(tiny, name, use):
    # Kills dead parameters, and frozen ones that train.
    model = make(name, use, tiny.schema)
    logits, penalty = model.penalised(tiny.batch)
    loss = functional.binary_cross_entropy_with_logits(logits, tiny.batch.y)
    (loss if penalty is None else loss + penalty).backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.any(), parameter_name
        else:
            assert parameter.grad is None, parameter_name


@systems
def test_overfits_64_rows(tiny, name, use):
    model, batch = make(name, use, tiny.schema), tiny_batch(64, seed=3)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(model(batch), batch.y).backward()
        optimizer.step()
    with torch.no_grad():
        p = model.eval()(batch).sigmoid()
    assert auc(batch.y.numpy(), p.numpy()) > 0.99


@systems
def test_saved_weights_load_bit_equal(tiny, name, use, tmp_path):
    model = make(name, use, tiny.schema)
    model(tiny.batch)  # moves BatchNorm's running statistics, which must be saved too
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = make(name, use, tiny.schema)
    with torch.no_grad():
        for held in (*other.parameters(), *other.buffers()):
            held.normal_()  # buffers too: a state that is not saved would be the same by its seed
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(other.eval()(tiny.batch), model.eval()(tiny.batch))


@systems
@both_modes
def test_runs_on_meta_tensors(tiny, name, use, training):
    # Kills a tensor made on the default device, which fails on a GPU, without a GPU.
    model = make(name, use, tiny.schema).to("meta").train(training)
    logits = model(tiny.batch.to("meta"))
    assert logits.is_meta
    assert logits.shape == (len(tiny.batch),)
    logits.sum().backward()


@systems
def test_bf16_autocast_is_close(tiny, name, use):
    model = make(name, use, tiny.schema, init_std=0.3).eval()
    with torch.no_grad():
        exact = model(tiny.batch)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(tiny.batch).float()
    spread = (exact.max() - exact.min()).item()
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05 * spread)


@systems
def test_a_row_does_not_depend_on_its_batch_in_eval_mode(tiny, name, use):
    # Also rows of a batch whose histories or neighbours are all empty.
    model = make(name, use, tiny.schema, init_std=0.3).eval()
    with torch.no_grad():
        whole = model(tiny.batch)
        alone = torch.cat([model(tiny.batch.take(slice(i, i + 1))) for i in range(len(whole))])
    torch.testing.assert_close(alone, whole, rtol=1e-5, atol=1e-6)


@systems
def test_a_batch_of_one_row_trains(tiny, name, use):
    model = make(name, use, tiny.schema)
    model(tiny.batch.take(slice(0, 1))).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@systems
def test_the_order_of_rows_does_not_matter_in_training_mode(tiny, name, use):
    model, twin = (make(name, use, tiny.schema, init_std=0.3, **still(name)) for _ in range(2))
    order = torch.randperm(len(tiny.batch))
    turned = twin(tiny.batch.take(order))
    torch.testing.assert_close(turned, model(tiny.batch)[order], rtol=1e-4, atol=1e-5)


@both_modes
@kinds
@pytest.mark.parametrize("name", READS_HISTORY)
def test_more_padding_after_a_history_changes_nothing(tiny, name, use, training):
    # In training mode too: padding must not enter BatchNorm's statistics.
    longer = dataclasses.replace(tiny.batch, history=padded(tiny.batch.history))
    found, expected = (
        make(name, use, tiny.schema, init_std=0.3).train(training)(batch)
        for batch in (longer, tiny.batch)
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", READS_HISTORY)
def test_a_history_is_read(tiny, name):
    model = make(name, "plain", tiny.schema, init_std=0.3).eval()
    emptied = dataclasses.replace(tiny.batch, history=torch.zeros_like(tiny.batch.history))
    changed = model(emptied) != model(tiny.batch)
    reached = tiny.batch.history_mask
    if getattr(model.backbone, "over_shared_ids", False):
        target = tiny.batch.x[:, None, list(tiny.schema.item_columns)]
        reached = reached & (tiny.batch.history == target).any(2)
    assert torch.equal(changed, reached.any(1))


@both_modes
@kinds
@pytest.mark.parametrize("name", READS_NEIGHBOURS)
def test_more_padding_after_neighbours_changes_nothing(tiny, name, use, training):
    more = {
        part: padded(getattr(tiny.batch, part))
        for part in ("neighbours", "neighbour_labels", "neighbour_mask")
    }
    longer = dataclasses.replace(tiny.batch, **more)
    found, expected = (
        make(name, use, tiny.schema, init_std=0.3).train(training)(batch)
        for batch in (longer, tiny.batch)
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@both_modes
@kinds
@pytest.mark.parametrize("name", READS_NEIGHBOURS)
def test_what_lies_in_masked_neighbours_is_not_looked_at(tiny, name, use, training):
    mask = tiny.batch.neighbour_mask
    noise = torch.full_like(tiny.batch.neighbours, 7)
    scrambled = dataclasses.replace(
        tiny.batch,
        neighbours=torch.where(mask[..., None], tiny.batch.neighbours, noise),
        neighbour_labels=torch.where(mask, tiny.batch.neighbour_labels, 1),
    )
    found, expected = (
        make(name, use, tiny.schema, init_std=0.3).train(training)(batch)
        for batch in (scrambled, tiny.batch)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", READS_NEIGHBOURS)
def test_neighbours_and_their_labels_are_read(tiny, name):
    model = make(name, "plain", tiny.schema, init_std=0.3).eval()
    labels = dataclasses.replace(tiny.batch, neighbour_labels=1 - tiny.batch.neighbour_labels)
    reached = tiny.batch.neighbour_mask
    if getattr(model.backbone, "over_shared_ids", False):
        reached = reached & (tiny.batch.neighbours == tiny.batch.x[:, None]).any(2)
    found = reached.any(1)
    assert torch.equal(model(labels) != model(tiny.batch), found)
    rows = dataclasses.replace(tiny.batch, neighbours=tiny.batch.neighbours.roll(1, 0))
    assert (model(rows) != model(tiny.batch))[found].any()


@pytest.mark.parametrize("name", list_models())
def test_parts_that_are_not_needed_are_not_read(tiny, name):
    needs = model_entry(name).target.needs
    parts = {
        "history": {"history"},
        "history_negatives": {"history_negatives"},
        "neighbours": {"neighbours", "neighbour_labels", "neighbour_mask"},
    }
    unused = {name for need, names in parts.items() if need not in needs for name in names}
    bare = dataclasses.replace(tiny.batch, **dict.fromkeys(unused))
    model = make(name, "plain", tiny.schema, **still(name))
    assert torch.equal(model(bare), model(tiny.batch))


@pytest.mark.parametrize("use", ["plain", "both-fix"])
@pytest.mark.parametrize("name", READS_HISTORY + READS_NEIGHBOURS)
def test_a_batch_without_what_is_needed_is_refused(tiny, name, use):
    model = make(name, use, tiny.schema)
    (need,) = model.needs
    with pytest.raises(ConfigError, match=f"no {need}.*needs=model.needs"):
        model(dataclasses.replace(tiny.batch, **{need: None}))


class ByTensors(nn.Module):
    """A model called with tensors, as an exported one is."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tensors):
        return self.model(Batch(**tensors))


@pytest.mark.parametrize("use", ["plain", "both-fix"])
@pytest.mark.parametrize("name", list_models())
def test_exports_with_the_batch_size_left_open(tiny, name, use):
    # Kills a shape that depends on data, and a batch size fixed by len().
    model, rows = make(name, use, tiny.schema, init_std=0.3).eval(), torch.export.Dim("rows", min=2)
    parts = ["x"]
    if "history" in model.needs:
        parts.append("history")
    if "neighbours" in model.needs:
        parts += ["neighbours", "neighbour_labels", "neighbour_mask"]
    held, other = (
        {part: getattr(batch, part) for part in parts}
        for batch in (tiny.batch, tiny_batch(20, seed=4))
    )
    exported = torch.export.export(
        ByTensors(model), (held,), dynamic_shapes=({part: {0: rows} for part in parts},)
    )
    torch.testing.assert_close(exported.module()(other), model(Batch(**other)))


@pytest.mark.parametrize("name", list_models())
def test_extra_joins_the_head(tiny, name):
    entry = model_entry(name)
    config = entry.meta["config"]()
    model = make(name, "plain", tiny.schema)
    torch.manual_seed(0)
    backbone = entry.target(tiny.schema, config, 5)
    extra = torch.randn(len(tiny.batch), 5, requires_grad=True)
    logits = backbone(tiny.batch, model.embedding, extra)
    logits.sum().backward()
    assert logits.shape == (len(tiny.batch),)
    assert extra.grad.any(1).all()  # every row's extra bears on its logit


@pytest.mark.parametrize("name", list_models())
def test_represent_is_one_vector_per_row(tiny, name):
    model = make(name, "plain", tiny.schema)
    phi = model.backbone.represent(tiny.batch, model.embedding)
    assert phi.ndim == 2
    assert len(phi) == len(tiny.batch)
    phi.sum().backward()
    assert model.embedding.weight.grad.any()


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_says_how_wide_r_is_and_what_it_holds(tiny, name):
    model = make(name, "plain", tiny.schema)
    r = model.aggregate(tiny.batch)
    width = model.backbone.representation_dim
    assert r.shape == (len(tiny.batch), width)
    assert torch.isfinite(r).all()
    columns = [i for s in model.backbone.representation_blocks.values() for i in range(width)[s]]
    assert sorted(columns) == list(range(width))  # every dimension in one block


@pytest.mark.parametrize("name", [n for n in list_models() if n not in TEACHERS])
def test_other_models_do_not_teach(tiny, name):
    with pytest.raises(ConfigError, match="cannot teach"):
        make(name, "plain", tiny.schema).aggregate(tiny.batch)


@pytest.mark.parametrize("name", list_models())
def test_the_same_seed_gives_the_same_weights(tiny, name):
    first, second = (make(name, "plain", tiny.schema).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    assert not torch.equal(
        create_model(name, tiny.schema).embedding.weight, first["embedding.weight"]
    )


@pytest.mark.parametrize("name", list_models())
def test_the_embedding_is_handed_in_not_owned(tiny, name):
    # A backbone with a table of its own could not be given the joined one of §4.4.
    backbone = make(name, "plain", tiny.schema).backbone
    assert all(tiny.schema.n_ids not in p.shape for p in backbone.parameters())


@pytest.mark.parametrize("name", list_models())
def test_plain_and_feature_wise_backbones_have_one_shape(tiny, name):
    # Footnote 3: own d/2 ⊕ f d/2 is d, so that parameters compare fairly.
    plain, feature = (make(name, use, tiny.schema) for use in ("plain", "feature-fix"))
    shapes = [
        {key: value.shape for key, value in model.backbone.state_dict().items()}
        for model in (plain, feature)
    ]
    assert shapes[0] == shapes[1]
    assert feature.own.dim + feature.base.f.dim == plain.embedding.dim


@pytest.mark.parametrize("name", list_models())
def test_no_warning_is_given(tiny, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(name, "both-fix", tiny.schema)(tiny.batch).sum().backward()


@pytest.mark.parametrize("name", list_models())
def test_dropout_acts_in_training_only(tiny, name):
    config = model_entry(name).meta["config"]
    if "dropout" not in {f.name for f in dataclasses.fields(config)}:
        assert not any(
            isinstance(m, nn.Dropout) for m in make(name, "plain", tiny.schema).modules()
        )
        return
    model = make(name, "plain", tiny.schema, dropout=0.5)
    assert not torch.equal(model(tiny.batch), model(tiny.batch))
    model.eval()
    assert torch.equal(model(tiny.batch), model(tiny.batch))
