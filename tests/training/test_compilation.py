"""Training through torch.compile: the same learning, by fewer and larger operations."""

import dataclasses
import inspect

import jaxtyping
import pytest
import torch
from made_samples import made_neighbours, made_samples
from small_study import settle, spec
from toy_models import Toy

from rokkit.errors import ArtefactError, ConfigError, TrainingError
from rokkit.experiments import RunError, Runs
from rokkit.knowledge import (
    ConstructConfig,
    ConstructTask,
    KnowledgeBase,
    KnowledgeBaseConfig,
    Projector,
    UseConfig,
    with_knowledge,
)
from rokkit.layers.embedding import FieldEmbedding, JoinedEmbedding
from rokkit.models import create_model, list_models, model_entry
from rokkit.training import (
    CTRTask,
    Feed,
    TrainConfig,
    compilation,
    fit,
    predict,
    seed_everything,
)
from rokkit.training.checkpoint import load_checkpoint
from rokkit.training.compilation import CompiledLoss, check_compilation

SAMPLES = made_samples(40)
FULL, LAST = torch.arange(16), torch.arange(32, 40)
# What a step of each model becomes: one graph, or several around parts that stay as they are. There
# is no model that cannot be compiled. (Without these parts MIMN would be written out step by step,
# and DIEN and HPMN would break off at their GRUs.)
WHOLE = ("deepfm", "din", "fate", "lr", "mlp", "pet", "sim", "ubr")
AROUND = {
    "dert": "over_ids",  # neighbours
    "rim": "over_ids",
    "dien": "GRU and AUGRU",
    "hpmn": "GRU",
    "mimn": "UserMemory",
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No types are checked where torch traces: it would trace the checks. Nothing is remembered."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    # A checked constructor of a frozen class is more than torch can trace.
    monkeypatch.setattr(JoinedEmbedding, "__init__", inspect.unwrap(JoinedEmbedding.__init__))
    check_compilation.cache_clear()
    yield
    check_compilation.cache_clear()
    torch.compiler.reset()


@pytest.fixture
def graphs(monkeypatch):
    """Those that are compiled, by a backend that runs them as they are."""
    held = []

    def backend(graph, inputs, **options):
        held.append(graph)
        return graph

    monkeypatch.setattr(compilation, "BACKEND", backend)
    return held


@pytest.fixture
def traced(monkeypatch):
    """A backend that traces gradients too and runs the graphs of both by torch's operations."""
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")


def model_of(name):
    """A model whose training draws nothing."""
    entry = model_entry(name)
    known = {field.name for field in dataclasses.fields(entry.meta["config"])}
    still = {"dropout": 0.0} if "dropout" in known else {}
    seed_everything(7)
    still |= getattr(entry.target, "chance", {})
    return create_model(name, SAMPLES.schema, init_std=0.3, **still)


def feeds(needs):
    return [
        Feed(SAMPLES, part, needs=needs, neighbours=made_neighbours(SAMPLES, part))
        for part in ("train", "val")
    ]


def task_of(model):
    return CTRTask(model, *feeds(model.needs))


def using(name, update):
    seed_everything(7)
    base = KnowledgeBase(SAMPLES.schema, KnowledgeBaseConfig(hidden=(12,)), 7)
    return with_knowledge(name, SAMPLES.schema, base, UseConfig(update=update))


def constructing(positive):
    seed_everything(7)
    base = KnowledgeBase(SAMPLES.schema, KnowledgeBaseConfig(hidden=(12,)), 7)
    train, val = feeds(frozenset())
    r = [torch.randn(len(feed), 7).numpy() for feed in (train, val)]
    config = ConstructConfig(alpha=0.5, positive=positive)
    return ConstructTask(base, Projector(7), config, train=train, val=val, r_train=r[0], r_val=r[1])


def step(loss, module, rows):
    """The loss and the gradients by name, of one step."""
    seed_everything(1)
    module.zero_grad()
    found = loss(rows)
    found.backward()
    named = module.named_parameters()
    return found.detach(), {name: p.grad.clone() for name, p in named if p.grad is not None}


def assert_same_steps(make, graphs):
    """Two full batches and a smaller one; the graphs of the first are all there is."""
    eager, other = make(), make()
    for task in (eager, other):
        task.module.train()
    compiled = CompiledLoss(other.loss, other.module, len(FULL))
    for rows in (FULL, FULL + 16, LAST):
        torch.testing.assert_close(
            step(compiled, other.module, rows),
            step(eager.loss, eager.module, rows),
            atol=1e-5,
            rtol=1e-5,
        )
        if rows is FULL:
            first = len(graphs)
    assert len(graphs) == first
    compiled.close()
    return first


def test_every_model_is_listed():
    assert sorted([*WHOLE, *AROUND]) == sorted(list_models())


@pytest.mark.parametrize("name", [*WHOLE, *AROUND])
def test_a_compiled_step_of_a_model_is_the_eager_one(graphs, name):
    found = assert_same_steps(lambda: task_of(model_of(name)), graphs)
    assert found == 1 if name in WHOLE else found > 1


@pytest.mark.parametrize("name", ["mlp", "din", "rim"])
@pytest.mark.parametrize("update", ["fix", "fg"])
def test_so_is_one_with_a_knowledge_base(graphs, name, update):
    assert assert_same_steps(lambda: task_of(using(name, update)), graphs) >= 1


@pytest.mark.parametrize("positive", ["top", "random"])
def test_so_is_one_of_a_construction(graphs, positive):
    assert assert_same_steps(lambda: constructing(positive), graphs) >= 1


def config(**values):
    chosen = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "patience": 9}
    return TrainConfig(**chosen | values)


def assert_same_training(model, other, folder, **values):
    """An eager and a compiled training of the same initial weights."""
    eager, compiled = task_of(model), task_of(other)
    expected = fit(eager, 40, config(**values), seed=1)
    found = fit(compiled, 40, config(compile=True, **values), seed=1, folder=folder)
    assert found.steps == expected.steps == 6
    for row, wanted in zip(found.history, expected.history, strict=True):
        assert row == pytest.approx(wanted, abs=1e-4)
    assert all("forward" not in vars(part) for part in other.modules())
    return compiled


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", ["mlp", "din", "rim"])
def test_a_compiled_training_learns_the_same_and_leaves_what_an_eager_model_loads(tmp_path, name):
    compiled = assert_same_training(model_of(name), model_of(name), tmp_path)
    held = load_checkpoint(tmp_path / "last.pt")
    fresh = model_of(name)
    assert held["module"].keys() == held["best"].keys() == fresh.state_dict().keys()
    fresh.load_state_dict(held["best"])
    assert (predict(fresh, compiled.val) == predict(compiled.module, compiled.val)).all()


@pytest.mark.parametrize("optimizer", ["lazy-adam", "row-adagrad"])
@pytest.mark.parametrize("name", ["din", "rim"])
def test_optimizers_by_row_get_what_they_want(tmp_path, graphs, name, optimizer):
    # Kills look-ups in a graph: dense gradients, and rows read before they are made up for.
    assert_same_training(model_of(name), model_of(name), tmp_path, optimizer=optimizer)
    assert graphs


@pytest.mark.usefixtures("traced")
def test_bfloat16_is_compiled_too(tmp_path):
    assert_same_training(model_of("mlp"), model_of("mlp"), tmp_path, amp=True)


def toy():
    seed_everything(7)
    return CTRTask(Toy(SAMPLES.schema), *feeds(Toy.needs))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("k", [2, 3])  # before a smaller batch and after it
def test_a_compiled_training_resumes_bit_by_bit(tmp_path, k):
    whole, resumed = toy(), toy()  # with dropout
    expected = fit(whole, 40, config(compile=True), seed=1)
    fit(toy(), 40, config(compile=True), seed=1, folder=tmp_path, stop_after_steps=k)
    torch.rand(3)
    with pytest.raises(ArtefactError, match="written by another training"):
        fit(toy(), 40, config(), seed=1, folder=tmp_path)
    found = fit(resumed, 40, config(compile=True), seed=1, folder=tmp_path)
    assert found.history == expected.history
    for name, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value), name


def test_checkpoints_from_before_there_was_such_a_setting_are_taken_up(tmp_path):
    fit(toy(), 40, config(), seed=1, folder=tmp_path, stop_after_steps=1)
    assert "compile" not in load_checkpoint(tmp_path / "last.pt")["identity"]["config"]


def unable(graph, inputs, **options):
    raise OSError("no compiler far and wide.\nAt all.")


@pytest.mark.parametrize("optimizer", ["adam", "lazy-adam"])
def test_where_nothing_compiles_it_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, optimizer
):
    monkeypatch.setattr(compilation, "BACKEND", unable)
    task = toy()
    chosen = config(compile=True, optimizer=optimizer)
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    message = r"compile is True, but torch .* for 'cpu' here .*far and wide.*Set compile to False"
    with pytest.raises(ConfigError, match=message) as caught:
        fit(task, 40, chosen, seed=1, folder=tmp_path)
    assert "At all" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert not any(m.sparse_gradient for m in task.module.modules() if type(m) is FieldEmbedding)
    for name, value in task.module.state_dict().items():
        assert torch.equal(before[name], value)
    fit(task, 40, config(), seed=1, folder=tmp_path)  # and it asks for no compiler


def test_a_finished_training_asks_for_no_compiler(tmp_path, monkeypatch, graphs):
    expected = fit(toy(), 40, config(compile=True), seed=1, folder=tmp_path)
    check_compilation.cache_clear()
    monkeypatch.setattr(compilation, "BACKEND", unable)
    assert fit(toy(), 40, config(compile=True), seed=1, folder=tmp_path) == expected


def test_a_loss_that_torch_cannot_compile_is_named(tmp_path, monkeypatch):
    def picky(graph, inputs, **options):
        if len(inputs) > 1:
            raise OSError("too much")
        return graph

    monkeypatch.setattr(compilation, "BACKEND", picky)
    task = task_of(model_of("dien"))
    with pytest.raises(TrainingError, match=r"loss of CTRModel .*too much.*compile to False"):
        fit(task, 40, config(compile=True), seed=1, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    assert all("forward" not in vars(part) for part in task.module.modules())


def test_a_run_is_refused_before_it_searches(tmp_path, monkeypatch):
    runs = settle(tmp_path, monkeypatch)
    monkeypatch.setattr(compilation, "BACKEND", unable)
    monkeypatch.setattr("rokkit.experiments.execute.load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(RunError, match="compile is True, but torch"):
        Runs(runs, device="cpu")([spec("MLP", compile=True)])
    (folder,) = runs.glob("small/mlp-*")
    assert {path.name for path in folder.iterdir()} <= {"spec.json", "traceback.txt"}


def test_the_setting_reaches_every_training_of_a_study():
    rok = spec("DIN+ROK", compile=True)
    construction, teacher = rok.construction, rok.teacher
    assert rok.compiles
    assert construction is not None
    assert construction.compiles
    assert teacher is not None
    assert teacher.compiles
    assert not spec("DIN+ROK").compiles
    assert not spec("GBDT", compile=True).compiles  # it is no network


def test_inductor_learns_the_same(tmp_path):
    try:
        check_compilation("cpu")
    except ConfigError as error:
        pytest.skip(str(error))
    assert_same_training(model_of("mlp"), model_of("mlp"), tmp_path)
