"""What every registered model keeps: as it is, with its switches, and with a knowledge base."""

import dataclasses
import warnings
from pathlib import Path

import pytest
import torch
from made_batches import tiny_batch
from made_models import (
    USES,
    System,
    Tiny,
    as_it_is,
    each,
    make,
    still,
    whole_loss,
    with_switches,
)
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.evaluation import auc
from rokkit.models import create_model, list_models, model_entry

SWITCHED = with_switches("plain", "both-fix")
TEACHERS = [n for n in list_models() if model_entry(n).meta["teacher"]]


systems = each(as_it_is("plain", *USES) + SWITCHED)
both_modes = pytest.mark.parametrize("training", [True, False])


@systems
@both_modes
def test_logits_are_one_finite_float_per_row(tiny: Tiny, system: System, training: bool) -> None:
    logits = system.make(tiny.schema).train(training)(tiny.batch)
    assert logits.shape == (len(tiny.batch),)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert len(logits.unique()) > len(logits) / 2  # they depend on the row


@systems
def test_the_penalty_is_one_number_beside_the_same_logits(tiny: Tiny, system: System) -> None:
    model = system.make(tiny.schema).eval()
    logits, penalty = model.penalised(tiny.batch)
    assert torch.equal(logits, model(tiny.batch))
    if penalty is not None:
        assert penalty.shape == ()
        assert torch.isfinite(penalty)
        assert penalty >= 0


@systems
def test_every_trainable_parameter_gets_a_gradient_and_no_other(tiny: Tiny, system: System) -> None:
    # Kills dead parameters, and frozen ones that train. Of four periodic layers the last takes its
    # second step at the 21st behaviour; of two that take turns one learns in each step.
    model, batch = system.make(tiny.schema), tiny_batch(history=24)
    for _ in range(2 if system.config.get("turns") else 1):
        loss = whole_loss(model, batch)
        assert torch.isfinite(loss)
        loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


@systems
def test_overfits_64_rows(tiny: Tiny, system: System) -> None:
    model, batch = system.make(tiny.schema), tiny_batch(64, seed=3)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(8):
        for _ in range(15):
            optimizer.zero_grad()
            whole_loss(model.train(), batch).backward()
            optimizer.step()
        with torch.no_grad():
            reached = auc(batch.y.numpy(), model.eval()(batch).sigmoid().numpy())
        if reached > 0.99:
            return
    pytest.fail(f"AUC {reached:.3f}")


@systems
def test_saved_weights_load_bit_equal(tiny: Tiny, system: System, tmp_path: Path) -> None:
    model = system.make(tiny.schema, init_std=0.3)
    whole_loss(model, tiny.batch)  # moves running statistics and counts, which must be saved too
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = system.make(tiny.schema, init_std=0.3)
    with torch.no_grad():
        for held in (*other.parameters(), *other.buffers()):
            # Buffers too: a state that is not saved would be the same by its seed.
            held.copy_(torch.randn(held.shape) * 3)
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(other.eval()(tiny.batch), model.eval()(tiny.batch))
    steps = []  # UBR's lesson has gradients and no value
    for one in (model, other):
        torch.manual_seed(1)
        loss = whole_loss(one.train(), tiny.batch)
        trained = [p for p in one.parameters() if p.requires_grad]
        steps.append([loss, *torch.autograd.grad(loss, trained, materialize_grads=True)])
    assert all(map(torch.equal, *steps))


@systems
@both_modes
def test_runs_on_meta_tensors(tiny: Tiny, system: System, training: bool) -> None:
    # Kills a tensor made on the default device, which fails on a GPU, without a GPU.
    model, batch = system.make(tiny.schema).to("meta").train(training), tiny.batch.to("meta")
    if system.config.get("turns"):  # asks its count of steps who learns: meta holds no number
        model.backbone.taken = torch.zeros((), dtype=torch.int64)
    logits, loss = model(batch), whole_loss(model, batch)
    assert logits.is_meta
    assert loss.is_meta
    assert logits.shape == (len(tiny.batch),)
    (logits.sum() + loss).backward()


@systems
def test_bf16_autocast_is_close(tiny: Tiny, system: System) -> None:
    model = system.make(tiny.schema, init_std=0.3).eval()
    with torch.no_grad():
        exact = model(tiny.batch)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(tiny.batch).float()
    spread = (exact.max() - exact.min()).item()
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05 * spread)


@systems
def test_a_row_does_not_depend_on_its_batch_in_eval_mode(tiny: Tiny, system: System) -> None:
    # Also rows of a batch whose histories or neighbours are all empty.
    model = system.make(tiny.schema, init_std=0.3)
    whole_loss(model, tiny.batch)  # moves what running statistics there are
    model.eval()
    with torch.no_grad():
        whole = model(tiny.batch)
        alone = torch.cat([model(tiny.batch.take(slice(i, i + 1))) for i in range(len(whole))])
    if system.config.get("graph") == "batch":  # FATE then reads all rows' graph, as it should
        assert not torch.allclose(alone, whole, rtol=1e-2)
    else:
        torch.testing.assert_close(alone, whole, rtol=1e-5, atol=1e-6)


@systems
def test_a_batch_of_one_row_trains(tiny: Tiny, system: System) -> None:
    model = system.make(tiny.schema)
    whole_loss(model, tiny.batch.take(slice(0, 1))).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@systems
def test_the_order_of_rows_does_not_matter_in_training_mode(tiny: Tiny, system: System) -> None:
    calm = still(system.name)
    model, twin = (system.make(tiny.schema, init_std=0.3, **calm) for _ in range(2))
    order = torch.randperm(len(tiny.batch))
    turned = twin(tiny.batch.take(order))
    torch.testing.assert_close(turned, model(tiny.batch)[order], rtol=1e-4, atol=1e-5)


class ByTensors(nn.Module):
    """A model called with tensors, as an exported one is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tensors: dict[str, Tensor]) -> Tensor:
        return self.model(Batch(**tensors))


@each(as_it_is("plain", "both-fix") + SWITCHED)
def test_exports_with_the_batch_size_left_open(tiny: Tiny, system: System) -> None:
    # Kills a shape that depends on data, and a batch size fixed by len().
    model = system.make(tiny.schema, init_std=0.3).eval()
    rows = torch.export.Dim("rows", min=2)
    parts = ["x"]
    if "history" in model.needs:
        parts.append("history")
    if "neighbours" in model.needs:
        parts += ["neighbours", "neighbour_labels", "neighbour_mask"]
    held, other = (
        {part: getattr(batch, part) for part in parts}
        for batch in (tiny_batch(history=3), tiny_batch(20, history=3, seed=4))
    )
    exported = torch.export.export(
        ByTensors(model), (held,), dynamic_shapes=({part: {0: rows} for part in parts},)
    )
    torch.testing.assert_close(exported.module()(other), model(Batch(**other)))


@pytest.mark.parametrize("name", list_models())
def test_extra_joins_the_head(tiny: Tiny, name: str) -> None:
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
def test_represent_is_one_vector_per_row(tiny: Tiny, name: str) -> None:
    model = make(name, "plain", tiny.schema)
    phi = model.backbone.represent(tiny.batch, model.embedding)
    assert phi.ndim == 2
    assert len(phi) == len(tiny.batch)
    phi.sum().backward()
    assert model.embedding.weight.grad.any()


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_says_how_wide_r_is_and_what_it_holds(tiny: Tiny, name: str) -> None:
    model = make(name, "plain", tiny.schema)
    r = model.aggregate(tiny.batch)
    width = model.backbone.representation_dim
    assert r.shape == (len(tiny.batch), width)
    assert torch.isfinite(r).all()
    columns = [i for s in model.backbone.representation_blocks.values() for i in range(width)[s]]
    assert sorted(columns) == list(range(width))  # every dimension in one block


@pytest.mark.parametrize("name", [n for n in list_models() if n not in TEACHERS])
def test_other_models_do_not_teach(tiny: Tiny, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot teach"):
        make(name, "plain", tiny.schema).aggregate(tiny.batch)


@pytest.mark.parametrize("name", list_models())
def test_the_same_seed_gives_the_same_weights(tiny: Tiny, name: str) -> None:
    first, second = (make(name, "plain", tiny.schema).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    assert not torch.equal(
        create_model(name, tiny.schema).embedding.weight, first["embedding.weight"]
    )


@pytest.mark.parametrize("name", list_models())
def test_the_embedding_is_handed_in_not_owned(tiny: Tiny, name: str) -> None:
    # A backbone with a table of its own could not be given the joined one of §4.4.
    backbone = make(name, "plain", tiny.schema).backbone
    assert all(tiny.schema.n_ids not in p.shape for p in backbone.parameters())


@pytest.mark.parametrize("name", list_models())
def test_plain_and_feature_wise_backbones_have_one_shape(tiny: Tiny, name: str) -> None:
    # Footnote 3: own d/2 ⊕ f d/2 is d, so that parameters compare fairly.
    plain, feature = (make(name, use, tiny.schema) for use in ("plain", "feature-fix"))
    shapes = [
        {key: value.shape for key, value in model.backbone.state_dict().items()}
        for model in (plain, feature)
    ]
    assert shapes[0] == shapes[1]
    assert feature.own.dim + feature.base.f.dim == plain.embedding.dim


@pytest.mark.parametrize("name", list_models())
def test_no_warning_is_given(tiny: Tiny, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(name, "both-fix", tiny.schema)(tiny.batch).sum().backward()


@pytest.mark.parametrize("name", list_models())
def test_dropout_acts_in_training_only(tiny: Tiny, name: str) -> None:
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
