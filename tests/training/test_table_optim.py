"""Optimizers by row against dense ones, written by torch and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import made_neighbours, made_samples, made_schema
from torch import nn
from toy_models import Toy

from rokkit.errors import ConfigError, TrainingError
from rokkit.layers.embedding import FieldEmbedding
from rokkit.training import CTRTask, Feed, TrainConfig, fit, predict, seed_everything
from rokkit.training.optim import DenseAdam, make_optimizer
from rokkit.training.table_optim import REPLAYED, LazyAdam, RowAdagrad

WIDTH = 3


def table_of(rows, seed=0):
    torch.manual_seed(seed)
    return FieldEmbedding(rows, WIDTH, std=0.1)


def twins(rows, learning_rate):
    """A table under LazyAdam and an equal one under torch's Adam."""
    lazy, dense = table_of(rows), table_of(rows)
    assert torch.equal(lazy.weight, dense.weight)
    return (
        lazy,
        LazyAdam([lazy], learning_rate),
        dense,
        torch.optim.Adam([dense.weight], learning_rate),
    )


def pull(table, ids, gradient):
    """A loss whose gradient by the look-up `ids` is `gradient`."""
    (table(ids) * gradient).sum().backward()


def moments(optimizer, dense, table):
    """(m, v) of both, the lazy one's and torch's."""
    state = optimizer.state_dict()["tables"][0]
    held = dense.state[table.weight]
    return (state["m"], held["exp_avg"]), (state["v"], held["exp_avg_sq"])


@pytest.mark.parametrize("learning_rate", [1e-3, 1e-2])
@pytest.mark.parametrize("scale", [1e-9, 1e-7, 1e-4, 1.0, 1e3])
def test_lazy_adam_is_torchs_adam(learning_rate, scale):
    """600 steps of rare and frequent ids, twice looked up; gradients from far below eps upwards."""
    rng = np.random.default_rng(5)
    rows = 60
    odds = 1.0 / np.arange(1, rows) ** 2
    lazy, optimizer, dense, adam = twins(rows, learning_rate)
    for _ in range(600):
        ids = torch.from_numpy(rng.choice(rows - 1, (2, 3), p=odds / odds.sum()) + 1)
        gradient = torch.from_numpy(rng.normal(size=(2, 3, WIDTH))).float() * scale
        assert torch.allclose(lazy(ids), dense(ids), rtol=0, atol=1e-5)  # what a model would see
        for table, stepper in ((lazy, optimizer), (dense, adam)):
            stepper.zero_grad()
            pull(table, ids, gradient)
            pull(table, ids[0], gradient[1])
            stepper.step()
    optimizer.close()
    assert torch.allclose(lazy.weight, dense.weight, rtol=0, atol=1e-5)
    for mine, theirs in moments(optimizer, adam, dense):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-12 * scale)


def test_one_gradient_then_nothing_for_longer_than_is_replayed():
    """A row that moved once: from step 2 on dense Adam moves it without a gradient."""
    lazy, optimizer, dense, adam = twins(4, 0.01)
    for step in range(2 * REPLAYED):
        for table, stepper in ((lazy, optimizer), (dense, adam)):
            stepper.zero_grad()
            pull(table, torch.tensor([1 if step == 0 else 2]), torch.ones(WIDTH))
            stepper.step()
    early = lazy.weight.detach()[1].clone()
    found = lazy(torch.tensor([1])).detach()[0]
    assert (found - early).abs().max() > 0.01  # several steps' worth was missing
    assert torch.allclose(found, dense.weight[1], rtol=0, atol=1e-6)


@settings(max_examples=60)
@given(
    batches=st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=25),
    settled=st.sets(st.integers(0, 24)),
    seed=st.integers(0, 99),
)
def test_whatever_is_looked_up_and_whenever_it_is_settled(batches, settled, seed):
    """Repetitions, padding, empty batches, and settling in between."""
    lazy, optimizer, dense, adam = twins(7, 0.02)
    generator = torch.Generator().manual_seed(seed)
    for i, ids in enumerate(batches):
        gradient = torch.randn(len(ids), WIDTH, generator=generator)
        for table, stepper in ((lazy, optimizer), (dense, adam)):
            stepper.zero_grad()
            pull(table, torch.tensor(ids, dtype=torch.int64), gradient)
            stepper.step()
        if i in settled:
            optimizer.settle()
            assert torch.allclose(lazy.weight, dense.weight, rtol=0, atol=1e-5)
    optimizer.settle()
    assert torch.allclose(lazy.weight, dense.weight, rtol=0, atol=1e-5)
    assert (lazy.weight[0] == 0).all()


def test_looking_up_in_evaluation_settles_what_is_read():
    lazy, optimizer, dense, adam = twins(4, 0.1)
    for ids in ([1, 2], [2], [2]):
        for table, stepper in ((lazy, optimizer), (dense, adam)):
            stepper.zero_grad()
            pull(table, torch.tensor(ids), torch.ones(len(ids), WIDTH))
            stepper.step()
    with torch.no_grad():
        assert torch.allclose(lazy.eval()(torch.tensor([1])), dense(torch.tensor([1])), atol=1e-6)


def test_row_adagrad_by_hand():
    """Loops over numpy: sums by id, mean of squares by row, one step size a row."""
    rng = np.random.default_rng(1)
    table = table_of(6)
    wanted = table.weight.detach().numpy().astype(np.float64)
    squares = np.zeros(6)
    optimizer = RowAdagrad([table], 0.05)
    for _ in range(8):
        ids = rng.integers(0, 6, 9)
        gradient = rng.normal(size=(9, WIDTH)).astype(np.float32)
        sums = {}
        for row, g in zip(ids, gradient, strict=True):
            sums[row] = sums.get(row, 0) + g.astype(np.float64)
        for row, g in sums.items():
            if row != 0:  # padding
                squares[row] += (g**2).mean()
                wanted[row] -= 0.05 * g / (np.sqrt(squares[row]) + 1e-8)
        optimizer.zero_grad()
        pull(table, torch.from_numpy(ids), torch.from_numpy(gradient))
        optimizer.step()
    assert np.allclose(table.weight.detach().numpy(), wanted, rtol=0, atol=1e-6)


def test_closed_it_leaves_no_trace():
    table = table_of(5)
    optimizer = LazyAdam([table], 0.1)
    assert table.sparse_gradient
    optimizer.close()
    assert not table.sparse_gradient
    assert table.on_reading is None
    table(torch.tensor([1])).sum().backward()
    assert not table.weight.grad.is_sparse


def test_a_table_that_is_read_as_a_whole_is_refused():
    table = table_of(5)
    optimizer = RowAdagrad([table], 0.1)
    table.weight.square().sum().backward()
    with pytest.raises(TrainingError, match=r"5 rows got a dense gradient.*'adam'"):
        optimizer.step()


def test_frozen_tables_and_other_devices():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.own, self.base = table_of(5), table_of(5)
            self.base.requires_grad_(False)
            self.head = nn.Linear(WIDTH, 1)

    model = Two()
    make_optimizer(model, TrainConfig(optimizer="lazy-adam"))
    assert model.own.sparse_gradient
    assert not model.base.sparse_gradient
    elsewhere = Two().to("meta")
    assert isinstance(make_optimizer(elsewhere, TrainConfig(optimizer="lazy-adam")), DenseAdam)
    with pytest.raises(ConfigError, match=r"row-adagrad.*on meta"):
        make_optimizer(elsewhere, TrainConfig(optimizer="row-adagrad"))


def trained(optimizer, **values):
    samples = made_samples(60)
    feeds = [
        Feed(samples, part, needs=Toy.needs, neighbours=made_neighbours(samples, part))
        for part in ("train", "val")
    ]
    seed_everything(3)
    model = Toy(made_schema(), dropout=0.0)
    model.norm = nn.Identity()  # a shift before BatchNorm has no gradient but rounding, of size lr
    task = CTRTask(model, *feeds)
    config = TrainConfig(
        epochs=4, batch_size=8, learning_rate=0.01, patience=9, optimizer=optimizer, **values
    )
    return task, fit(task, 60, config, seed=1)


def test_a_training_with_lazy_adam_is_one_with_adam():
    """The same predictions, from the same best weights; decay of dense weights included."""
    lazy, of_lazy = trained("lazy-adam", weight_decay=1e-3)
    dense, of_dense = trained("adam", weight_decay=1e-3)
    assert of_lazy.best_step == of_dense.best_step
    for one, other in zip(of_lazy.history, of_dense.history, strict=True):
        assert one["log_loss"] == pytest.approx(other["log_loss"], abs=1e-5)
    assert np.allclose(predict(lazy.module, lazy.val), predict(dense.module, dense.val), atol=1e-5)
    weights = dense.module.state_dict()
    for name, value in lazy.module.state_dict().items():
        assert torch.allclose(value, weights[name], rtol=0, atol=1e-4), name


@pytest.mark.parametrize("optimizer", ["lazy-adam", "row-adagrad"])
def test_the_best_weights_are_those_that_were_judged(optimizer):
    task, result = trained(optimizer)
    assert task.evaluate()["auc"] == result.best_metric
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
