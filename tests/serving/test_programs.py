"""A program answers as its model does, whatever the number of rows: as .pt2, and as ONNX."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_batches import tiny_batch, tiny_schema
from torch import Tensor, nn

from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import create_model, list_models, model_entry
from rokkit.serving import Program, exported, of_base, of_model, write_onnx
from rokkit.serving.onnx import missing_packages, session

READS_NEIGHBOURS = [n for n in list_models() if "neighbours" in model_entry(n).target.needs]
SERVED = [n for n in list_models() if n not in READS_NEIGHBOURS]
EACH = [(name, use, {}) for name in SERVED for use in ("plain", "instance", "feature")]
# Where settings bring other layers in, those are translated too.
RICH: dict[str, dict[str, Any]] = {
    "deepfm": {"history": True},
    "dien": {"attention": "mlp", "aux_weight": 1.0},
    "mimn": {"induction": True, "utilisation": True},
    "sim": {"search": "soft"},
}
WRITTEN = [(name, "both", RICH.get(name, {})) for name in SERVED] + [("sim", "both", {})]
HISTORY = 2  # behaviours: some models are unrolled over them
BATCH = tiny_batch(12, history=HISTORY)
EMPTY = dataclasses.replace(BATCH, history=torch.zeros_like(BATCH.history))
BATCHES = {
    "1": BATCH.take(slice(0, 1)),
    "1, without a history": BATCH.take(slice(1, 2)),
    "2": BATCH.take(slice(1, 3)),
    "7": BATCH.take(slice(0, 7)),
    "12, all without a history": EMPTY,
}
Answer = Callable[[Mapping[str, Tensor]], Mapping[str, Any]]

with_onnx = pytest.mark.skipif(
    bool(missing_packages()), reason="the extra [export] is not installed"
)


def base_of(**config: Any) -> KnowledgeBase:
    """A small knowledge base whose BatchNorm has been used."""
    settings = KnowledgeBaseConfig(dim=2, hidden=(6,), init_std=0.5, **config)
    base = KnowledgeBase(tiny_schema(), settings, 5)
    base(tiny_batch(seed=5).x)
    return base


def program_of(name: str, use: str, config: dict[str, Any]) -> tuple[nn.Module, Program]:
    """A small model, whose logits are spread, and its program."""
    torch.manual_seed(0)
    known = {field.name for field in dataclasses.fields(model_entry(name).meta["config"])}
    settings = {"embed_dim": 4, "init_std": 0.5}
    small = {"hidden": (6,), "attention_hidden": (5,), "state_dim": 5, "state_size": 5}
    settings |= {k: v for k, v in small.items() if k in known} | config
    if use == "plain":
        model = create_model(name, tiny_schema(), **settings)
    else:
        how = UseConfig(manner=use)
        model = with_knowledge(name, tiny_schema(), base_of(), how, **settings)
    model(BATCH)  # moves BatchNorm's running statistics
    return model, of_model(model, (HISTORY, 2))


def inputs_of(program: Program, batch: Batch) -> dict[str, Tensor]:
    return {name: getattr(batch, name) for name in program.inputs}


def graph(program: Program) -> Answer:
    """Answers by what torch.export makes of the program."""
    made = exported(program).module()
    return lambda ids: program.named(made(*ids.values()))


def from_files(program: Program, folder: Path) -> Iterator[Answer]:
    """Answers by the program as it was written and read again: .pt2, and ONNX where that can be."""
    made = exported(program)
    torch.export.save(made, folder / "program.pt2")
    loaded = torch.export.load(folder / "program.pt2").module()
    yield lambda ids: program.named(loaded(*ids.values()))
    if not missing_packages():
        write_onnx(folder / "program.onnx", made, program)
        answer = session(folder / "program.onnx", program)
        yield lambda ids: answer({name: held.numpy() for name, held in ids.items()})


def check(program: Program, model: nn.Module, answer: Answer) -> None:
    """`answer` is the model's own, for every batch."""
    for what, batch in BATCHES.items():
        with torch.no_grad():
            expected = model(batch).sigmoid().numpy()
        found = np.asarray(answer(inputs_of(program, batch))["probability"])
        assert found.dtype == np.float32
        assert found.shape == expected.shape, what
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5, err_msg=what)


def named(case: tuple[str, str, dict[str, Any]]) -> str:
    return "-".join([case[0], case[1], *map(str, case[2])])


@pytest.mark.parametrize("case", EACH, ids=named)
def test_the_program_answers_as_the_model(case: Any) -> None:
    model, program = program_of(*case)
    with torch.no_grad():
        assert model(BATCH).std() > 0.01  # or any two answers would do
    check(program, model, graph(program))


@pytest.mark.parametrize("case", WRITTEN, ids=named)
def test_so_it_does_from_its_files(case: Any, tmp_path: Path) -> None:
    model, program = program_of(*case)
    for answer in from_files(program, tmp_path):
        check(program, model, answer)


@pytest.mark.parametrize("config", [{}, {"encoder": "transformer", "width": 4, "heads": 2}])
def test_a_knowledge_base_gives_z_and_f(config: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = base_of(**config)
    program = of_base(base)
    for answer in from_files(program, tmp_path):
        for batch in BATCHES.values():
            found = answer({"x": batch.x})
            assert list(found) == ["z", "f"]
            with torch.no_grad():
                np.testing.assert_allclose(found["z"], base(batch.x), rtol=0, atol=1e-5)
                np.testing.assert_array_equal(found["f"], base.embed(batch.x))


@with_onnx
def test_the_sort_in_onnx_keeps_the_order_of_equals(tmp_path: Path) -> None:
    """Kills: places of equal scores by chance, or in another direction."""

    class Sorting(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            scores = x.float()
            down = scores.sort(dim=1, descending=True, stable=True).indices
            up = scores.sort(dim=1, stable=True).indices
            return down.float(), up.float()

    program = Program("sorting", Sorting(), {"x": (40,)}, {"down": (40,), "up": (40,)})
    _, answer = from_files(program, tmp_path)
    x = torch.randint(0, 3, (50, 40), generator=torch.Generator().manual_seed(0)).int()
    found = answer({"x": x})
    np.testing.assert_array_equal(found["down"], np.argsort(-x.numpy(), 1, kind="stable"))
    np.testing.assert_array_equal(found["up"], np.argsort(x.numpy(), 1, kind="stable"))


@with_onnx
def test_an_operator_that_onnx_lacks_is_told(tmp_path: Path) -> None:
    class Strange(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.bessel_j0(x.float()).sum(1)

    program = Program("strange", Strange(), {"x": (4,)}, {"y": ()})
    with pytest.raises(ConfigError, match=r"strange cannot be written as ONNX \(.*bessel_j0"):
        write_onnx(tmp_path / "strange.onnx", exported(program), program)
    assert list(tmp_path.iterdir()) == []


def test_the_program_names_no_file_of_the_machine(tmp_path: Path) -> None:
    _, program = program_of("din", "both", {})
    path = tmp_path / "model.pt2"
    torch.export.save(exported(program), path)
    held = path.read_bytes()
    assert b"aten.embedding" in held  # it lies there as it is, not compressed
    assert b".py" not in held
    assert str(Path(importlib.util.find_spec("rokkit").origin).parent).encode() not in held


@pytest.mark.parametrize("name", READS_NEIGHBOURS)
def test_a_model_that_reads_neighbours_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="reads neighbours; a program is given the ids"):
        of_model(create_model(name, tiny_schema()))


def test_a_history_needs_a_length() -> None:
    with pytest.raises(ConfigError, match=r"history is None; expected \(T, C\)"):
        of_model(create_model("din", tiny_schema()))
