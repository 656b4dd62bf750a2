"""The models that a notebook's cells define: twenty lines each, and held to what all models are.

The cells are those of 90_add_your_backbone, run as the kernel runs them.
"""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
import torch
from made_batches import tiny_batch, tiny_schema
from torch import Tensor
from torch.nn import functional

from rokkit import notebook
from rokkit.data.batch import Batch
from rokkit.errors import ConfigError
from rokkit.evaluation import auc
from rokkit.experiments import RunSpec, Settings, system_name
from rokkit.knowledge import KnowledgeBase, KnowledgeBaseConfig, UseConfig, with_knowledge
from rokkit.models import MODELS, create_model, list_models, model_entry
from rokkit.overview import notebooks_folder
from rokkit.parameters import declared

LINES = 20  # of a cell that defines a model, blank lines and docstring included
PATH = notebooks_folder() / "90_add_your_backbone.ipynb"
CELLS = [
    cell.source for cell in nbformat.read(PATH, as_version=4).cells if cell.cell_type == "code"
]
CLASSES = [source for source in CELLS if isinstance(ast.parse(source).body[0], ast.ClassDef)]
BEGIN = next(source for source in CELLS if "notebook.begin" in source)

each_model = pytest.mark.parametrize("name", ["cross", "pooled"])


@pytest.fixture(scope="module", autouse=True)
def names() -> Iterator[dict[str, Any]]:
    """What the cells leave behind; the session is not begun."""
    before = set(list_models())
    found: dict[str, Any] = {"__name__": "__main__"}
    for source in [BEGIN.partition("session =")[0], *CLASSES]:
        exec(compile(source, PATH.name, "exec"), found)
    yield found
    for name in set(list_models()) - before:
        MODELS.remove(name)


def make(name: str, *, knowledge: bool = False, **config: Any) -> Any:
    torch.manual_seed(0)
    if not knowledge:
        return create_model(name, tiny_schema(), **config)
    base = KnowledgeBase(tiny_schema(), KnowledgeBaseConfig(hidden=(12,), init_std=0.3), 7)
    base(tiny_batch(seed=5).x)
    return with_knowledge(name, tiny_schema(), base, UseConfig(), **config)


def test_a_backbone_and_a_teacher_take_at_most_twenty_lines_each() -> None:
    assert [len(source.splitlines()) <= LINES for source in CLASSES] == [True, True]
    assert [model_entry(name).meta["teacher"] for name in ("cross", "pooled")] == [False, True]


@each_model
@pytest.mark.parametrize("knowledge", [False, True])
def test_each_learns_and_uses_every_parameter(name: str, knowledge: bool) -> None:
    model, batch = make(name, knowledge=knowledge), tiny_batch(64, seed=3)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.02)
    for step in range(120):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(model(batch), batch.y).backward()
        assert step or all(p.grad is not None and p.grad.any() for p in trained)
        optimizer.step()
    with torch.no_grad():
        logits = model.eval()(batch)
    assert logits.shape == (64,)
    assert auc(batch.y.numpy(), logits.sigmoid().numpy()) > 0.99


@each_model
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    model, batch = make(name, init_std=0.3).eval(), tiny_batch()
    with torch.no_grad():
        alone = torch.cat([model(batch.take(slice(i, i + 1))) for i in range(len(batch))])
        torch.testing.assert_close(alone, model(batch), rtol=1e-5, atol=1e-6)


@each_model
def test_no_device_is_assumed_and_the_batch_size_stays_open(name: str) -> None:
    model = make(name, knowledge=True).to("meta")
    logits = model(tiny_batch().to("meta"))
    assert logits.is_meta
    logits.sum().backward()


class ByTensors(torch.nn.Module):
    """A model called with tensors, as an exported one is."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tensors: dict[str, Tensor]) -> Tensor:
        return self.model(Batch(**tensors))


@each_model
def test_each_can_be_exported(name: str) -> None:
    model, rows = make(name, init_std=0.3).eval(), torch.export.Dim("rows", min=2)
    parts = ["x"]
    if "neighbours" in model.needs:
        parts += ["neighbours", "neighbour_labels", "neighbour_mask"]
    held, other = (
        {part: getattr(batch, part) for part in parts} for batch in (tiny_batch(), tiny_batch(20))
    )
    shapes = ({part: {0: rows} for part in parts},)
    exported = torch.export.export(ByTensors(model), (held,), dynamic_shapes=shapes)
    torch.testing.assert_close(exported.module()(other), model(Batch(**other)))


def test_cross_layers_multiply_by_the_sample() -> None:
    """φ by hand, with W = 2 and b = 1 throughout: x₁ = x(2 Σx + 1) + x, and x₂ from it."""
    model, batch = make("cross", init_std=0.3), tiny_batch()
    layers = model.backbone.layers
    assert len(layers) == 2
    for layer in layers:
        torch.nn.init.constant_(layer.weight, 2.0)
        torch.nn.init.constant_(layer.bias, 1.0)
    x = model.embedding(batch.x).flatten(1)
    first = x * (2 * x.sum(1, keepdim=True) + 1) + x
    second = x * (2 * first.sum(1, keepdim=True) + 1) + first
    torch.testing.assert_close(model.backbone.represent(batch, model.embedding), second)


class Summed(NamedTuple):
    """r of each row by loops over what the mask shows."""

    mean: Tensor
    clicked: Tensor


def summed(model: Any, batch: Batch) -> Summed:
    means, shares = [], []
    for ids, labels, mask in zip(
        batch.neighbours, batch.neighbour_labels, batch.neighbour_mask, strict=True
    ):
        n = int(mask.sum())
        rows = [model.embedding(ids[k][None]).flatten() for k in range(len(mask)) if mask[k]]
        zero = torch.zeros(ids.shape[1] * model.embedding.dim)
        means.append(sum(rows, zero) / max(n, 1))
        shares.append(float(labels[mask].sum()) / max(n, 1))
    return Summed(torch.stack(means), torch.tensor(shares))


def test_pooled_gives_the_mean_of_the_neighbours_and_the_share_clicked() -> None:
    """Also of rows with padding, and of one without neighbours: r = 0."""
    model, batch = make("pooled", init_std=0.3), tiny_batch()
    empty = batch.neighbour_mask.clone()
    empty[0] = False
    batch = dataclasses.replace(batch, neighbour_mask=empty)
    r, expected = model.aggregate(batch), summed(model, batch)
    assert r.shape == (len(batch), model.backbone.representation_dim)
    blocks = model.backbone.representation_blocks
    torch.testing.assert_close(r[:, blocks["mean"]], expected.mean)
    torch.testing.assert_close(r[:, blocks["clicked"]].squeeze(1), expected.clicked)
    assert not r[0].any()
    columns = [i for held in blocks.values() for i in range(r.shape[1])[held]]
    assert sorted(columns) == list(range(r.shape[1]))
    assert len(set(batch.neighbour_mask.sum(1).tolist())) > 2  # padding was there to be left out


def test_pooled_does_not_look_at_padding() -> None:
    model, batch = make("pooled", init_std=0.3).eval(), tiny_batch()
    mask = batch.neighbour_mask
    scrambled = dataclasses.replace(
        batch,
        neighbours=torch.where(mask[..., None], batch.neighbours, 7),
        neighbour_labels=torch.where(mask, batch.neighbour_labels, 1),
    )
    assert not torch.equal(scrambled.neighbours, batch.neighbours)
    assert torch.equal(model(scrambled), model(batch))


def session(**settings: Any) -> notebook.Session:
    """A session of the notebook's parameters, not begun: nothing is looked up."""
    values = {one.name: one.value for one in declared(PATH)}
    return notebook.Session(Settings()).having(**(values | settings))


def own_of(one: notebook.Session) -> notebook.Session:
    """What the notebook's cell makes of a session."""
    source = next(text for text in CELLS if text.startswith("own ="))
    found: dict[str, Any] = {"session": one}
    exec(source.partition("display(own.plan())")[0], found)
    own: notebook.Session = found["own"]
    return own


@pytest.mark.parametrize("systems", [["MLP", "DIN", "RIM"], ["LR", "MLP+ROK", "DIN"]])
def test_the_notebook_adds_four_systems_at_one_seed(systems: list[str]) -> None:
    """Kills: a demonstration that costs as much as the study, or that trains the study anew."""
    one = session(systems=systems, seeds=[3, 4])
    specs = own_of(one).specs()
    assert [system_name(spec) for spec in specs] == [
        *systems,
        "CROSS",
        "POOLED",
        "CROSS+ROK",
        "CROSS+ROK-POOLED",
    ]
    assert {spec.seed for spec in specs} == {3}
    assert set(specs[: len(systems)]) < set(one.specs())
    taught = [parent for spec in specs[-2:] for parent in spec.parents()]
    teachers: list[RunSpec] = [spec.parents()[0] for spec in taught]
    assert [system_name(spec) for spec in teachers] == ["RIM", "POOLED"]
    assert teachers[1] == specs[-3]  # the teacher's own row is the run that teaches


def test_the_study_s_tables_are_left_alone() -> None:
    saved = {
        node.args[-1].value
        for source in CELLS
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("own.save_")
    }
    assert saved == {"own_overall", "own_compatibility", "own_costs", "own_comparisons"}


def test_a_session_with_other_settings_leaves_the_first_as_it_is() -> None:
    one = session()
    other = one.having(seeds=[5], alpha=0.7)
    assert (other.settings.seeds, other.settings.alpha) == ((5,), 0.7)
    assert dataclasses.replace(other.settings, seeds=(0,), alpha=0.1) == one.settings
    assert one.settings.seeds == (0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sead": [1]}, r"session\.having: setting 'sead' is not known.*Did you mean 'seeds'"),
        ({"seeds": [0.5]}, r"session\.having: seeds\[0\] is 0\.5"),
        ({"alpha": 2.0}, r"alpha is 2\.0; expected from 0 to 1"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session().having(**settings)


def test_beside_other_processes_a_notebook_is_told_which_runs_stay(
    toy: str, places: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills: a reader who asked for more jobs and is not told why there are none."""
    monkeypatch.setattr("rokkit.experiments.runs.local_pool", None)  # none is needed
    names = {"dataset": toy, "systems": ["CROSS"], "seeds": [0, 1], "epochs": 1, "jobs": 2}
    one = notebook.begin(names | {"device": "cpu", "batch_size": 16})
    capsys.readouterr()
    assert len(one.runs()) == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 of 2 runs are done in this process, one at a time: ")
    assert said[-1] == "2 runs: 0 read, 2 executed"
    assert (places / "runs" / "toy").is_dir()
