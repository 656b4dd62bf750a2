"""The loop: which steps it takes, when it evaluates, what it keeps."""

import math
from typing import get_args

import pytest
import torch
from made_samples import made_neighbours, made_samples
from toy_models import Scripted, Toy

from rokkit.errors import ConfigError, TrainingError
from rokkit.training import CTRTask, Feed, TrainConfig, fit, predict, seed_everything
from rokkit.training.config import Optimizer

FALLING = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]


def toy_task(dropout=0.3, rows=64):
    samples = made_samples(rows)
    feeds = [
        Feed(samples, part, needs=Toy.needs, neighbours=made_neighbours(samples, part))
        for part in ("train", "val")
    ]
    seed_everything(3)
    return CTRTask(Toy(samples.schema, dropout=dropout), *feeds)


def test_every_epoch_visits_each_row_once_in_another_order():
    task = Scripted([0.5] * 3)
    fit(task, 10, TrainConfig(epochs=3, batch_size=4, patience=9), seed=0)
    epochs = [[r for rows in task.rows[i : i + 3] for r in rows] for i in (0, 3, 6)]
    assert [len(rows) for rows in task.rows] == [4, 4, 2] * 3
    assert all(sorted(rows) == list(range(10)) for rows in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_the_order_is_a_function_of_the_seed():
    orders = []
    for seed in (0, 0, 1):
        task = Scripted([0.5])
        fit(task, 10, TrainConfig(epochs=1, batch_size=10), seed=seed)
        orders.append(task.rows)
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("n_rows", "sizes"), [(9, [4, 5]), (8, [4, 4]), (10, [4, 4, 2]), (5, [5]), (3, [3])]
)
def test_a_last_row_alone_joins_the_batch_before(n_rows, sizes):
    task = Scripted([0.5])
    fit(task, n_rows, TrainConfig(epochs=1, batch_size=4), seed=0)
    assert [len(rows) for rows in task.rows] == sizes


def test_batch_norm_survives_a_number_of_rows_one_above_the_batches():
    task = toy_task(rows=65)
    result = fit(task, 65, TrainConfig(epochs=1, batch_size=32), seed=0)
    assert result.steps == 2


@pytest.mark.parametrize("optimizer", get_args(Optimizer))
@pytest.mark.parametrize("best", [1, 2, 4])
def test_the_predictions_of_the_best_evaluation_are_kept(monkeypatch, optimizer, best):
    task, asked = toy_task(), []

    def evaluate():
        asked.append(CTRTask.evaluate(task))
        return asked[-1] | {"auc": 0.9 if len(asked) == best else 0.5}

    monkeypatch.setattr(task, "evaluate", evaluate)
    config = TrainConfig(epochs=4, batch_size=16, patience=4, optimizer=optimizer)
    assert fit(task, 64, config, seed=0).best_epoch == best
    assert (task.predictions == predict(task.module, task.val)).all()
    assert len(asked) == 4


def test_a_training_resumed_after_its_best_evaluation_has_no_predictions(tmp_path):
    task = Scripted([0.9, 0.1, 0.1])
    kept = []
    task.keep = lambda: kept.append(len(task.evaluated))
    config = TrainConfig(epochs=3, batch_size=10, patience=3)
    fit(task, 10, config, seed=0, folder=tmp_path, stop_after_steps=1)
    assert kept == [1]
    fit(task, 10, config, seed=0, folder=tmp_path)
    assert kept == [1]
    assert toy_task().predictions is None


def test_one_row_cannot_be_trained_on():
    with pytest.raises(ConfigError, match="training rows is 1"):
        fit(Scripted([0.5]), 1, TrainConfig(), seed=0)


def test_the_best_weights_come_back_and_patience_counts_evaluations():
    """Best at evaluation 2; 3 without a better one end it at 5, though 20 were allowed."""
    task = Scripted([0.6, 0.8, 0.7, 0.8, 0.75, 0.9])
    result = fit(task, 4, TrainConfig(batch_size=2, patience=3), seed=0)
    assert len(result.history) == 5
    assert (result.best_epoch, result.best_step, result.best_metric) == (2, 4, 0.8)
    assert task.weight.item() == task.evaluated[1] != task.evaluated[-1]
    assert not task.training
    assert result.finished
    assert result.steps == 10


@pytest.mark.parametrize(("monitor", "best"), [("auc", 1), ("log_loss", 3), ("loss", 3)])
def test_losses_are_better_when_lower(monitor, best):
    task = Scripted([0.9, 0.5, 0.1], monitor)
    result = fit(task, 4, TrainConfig(epochs=3, monitor=monitor, patience=9), seed=0)
    assert result.best_epoch == best


def test_a_tie_is_not_better():
    result = fit(Scripted([0.5] * 4), 4, TrainConfig(patience=3), seed=0)
    assert (result.best_epoch, len(result.history)) == (1, 4)


def test_evaluations_are_spread_over_the_epoch():
    """7 steps, 3 evaluations: after steps 3, 5 and 7; the last always ends the epoch."""
    config = TrainConfig(epochs=2, batch_size=2, evaluations_per_epoch=3, patience=9)
    result = fit(Scripted(FALLING), 14, config, seed=0)
    assert [row["step"] for row in result.history] == [3, 5, 7, 10, 12, 14]
    assert [row["epoch"] for row in result.history] == [1, 1, 1, 2, 2, 2]


def test_more_evaluations_than_steps_are_one_per_step():
    config = TrainConfig(epochs=1, batch_size=2, evaluations_per_epoch=50)
    result = fit(Scripted(FALLING), 4, config, seed=0)
    assert [row["step"] for row in result.history] == [1, 2]


def test_train_loss_is_the_mean_since_the_last_evaluation():
    """Adam on a loss equal to the weight moves it by the learning rate each step."""
    config = TrainConfig(epochs=2, batch_size=2, learning_rate=0.5)
    result = fit(Scripted(FALLING), 4, config, seed=0)
    found = [row["train_loss"] for row in result.history]
    assert found == pytest.approx([-0.25, -1.25], abs=1e-5)


def test_progress_is_told_of_every_step():
    told = []
    config = TrainConfig(epochs=2, batch_size=2)
    fit(Scripted(FALLING), 4, config, seed=0, progress=lambda *a: told.append(a))
    assert [(step, total) for step, total, _ in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [fields["epoch"] for *_, fields in told] == [1, 1, 2, 2]
    assert told[0][2] == {"epoch": 1, "epochs": 2}
    assert told[2][2]["auc"] == 0.9


def test_a_loss_that_is_no_number_stops_with_what_to_do():
    class Broken(Scripted):
        def loss(self, batch_rows):
            return self.weight.sum() * math.nan

    with pytest.raises(TrainingError, match=r"step 2 is nan.*learning_rate \(now 0.001\)"):
        fit(Broken(FALLING), 4, TrainConfig(batch_size=2), seed=0)


def test_a_metric_that_is_no_number_or_not_there_stops():
    with pytest.raises(TrainingError, match="validation auc at step 1 is nan"):
        fit(Scripted([math.nan]), 4, TrainConfig(), seed=0)
    with pytest.raises(ConfigError, match="'auc' is not known"):
        fit(Scripted([0.5], "loss"), 4, TrainConfig(monitor="auc"), seed=0)


def test_training_learns_and_is_a_function_of_the_seed():
    found = []
    for seed in (1, 1, 2):
        task = toy_task(dropout=0.1)
        config = TrainConfig(epochs=30, batch_size=16, learning_rate=0.02, patience=30)
        result = fit(task, 64, config, seed=seed)
        assert result.history[-1]["train_loss"] < 0.6 * result.history[0]["train_loss"]
        found.append((result.history, predict(task.module, task.val)))
    assert found[0][0] == found[1][0]
    assert (found[0][1] == found[1][1]).all()
    assert (found[0][1] != found[2][1]).any()


def test_autocast_computes_in_bfloat16_and_the_loss_in_float32():
    task = toy_task()
    kinds = []
    task.module.hidden.register_forward_hook(lambda m, i, out: kinds.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        loss = task.loss(torch.arange(16))
    assert loss.dtype == torch.float32
    config = TrainConfig(epochs=1, batch_size=16, amp=True)
    result = fit(task, 64, config, seed=0)
    # Steps, then the evaluation, which is in float32: bfloat16 logits tie.
    assert kinds == [torch.bfloat16] * 5 + [torch.float32]
    plain = fit(toy_task(), 64, TrainConfig(epochs=1, batch_size=16), seed=0)
    expected = plain.history[0]["train_loss"]
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=0.02)
    assert all(p.dtype == torch.float32 for p in task.module.parameters())


@pytest.mark.parametrize("batch_size", [1, 7, 32, 4096])
def test_predictions_do_not_depend_on_the_batch_size(batch_size):
    """BatchNorm and dropout left in training mode would make them."""
    task = toy_task()
    task.module.train()
    expected = predict(task.module, task.train, 64)
    found = predict(task.module, task.train, batch_size)
    assert found == pytest.approx(expected, abs=1e-6)
    assert task.module.training
    assert found.dtype == "float32"


def test_validation_metrics_are_those_of_the_predictions():
    task = toy_task()
    p = predict(task.module, task.val).astype(float)
    y = task.val.labels
    expected = -(y * torch.tensor(p).log().numpy() + (1 - y) * torch.tensor(1 - p).log().numpy())
    metrics = task.evaluate()
    assert metrics["log_loss"] == metrics["loss"] == pytest.approx(expected.mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("patience", 0),
        ("evaluations_per_epoch", 0),
        ("checkpoint_every", -1),
    ],
)
def test_settings_outside_their_range_are_refused(setting, value):
    with pytest.raises(ConfigError, match=f"{setting} is {value!r}"):
        TrainConfig(**{setting: value})


@pytest.mark.parametrize(("setting", "value"), [("monitor", "test_auc"), ("optimizer", "sgd")])
def test_names_that_do_not_exist_are_refused(setting, value):
    """Set behind the constructor, which the type checker of the test suite guards already."""
    config = TrainConfig()
    object.__setattr__(config, setting, value)
    with pytest.raises(ConfigError, match=f"{setting} is {value!r}"):
        config.__post_init__()


def test_a_models_penalty_joins_the_loss():
    task = toy_task(dropout=0.0)
    rows = torch.arange(16)
    plain = task.loss(rows)
    task.module.penalised = lambda batch: (task.module(batch), torch.tensor(0.25))
    torch.testing.assert_close(task.loss(rows), plain + 0.25)
    task.module.penalised = lambda batch: (task.module(batch), None)
    torch.testing.assert_close(task.loss(rows), plain)
