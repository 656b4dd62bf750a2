"""A training that was killed and resumed is bit-equal to one that was not."""

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import made_neighbours, made_samples
from toy_models import Toy

from rokkit import files
from rokkit.errors import ArtefactError
from rokkit.training import CTRTask, Feed, TrainConfig, fit, predict, seed_everything

SAMPLES = made_samples(40)
FEEDS = {
    part: Feed(SAMPLES, part, needs=Toy.needs, neighbours=made_neighbours(SAMPLES, part))
    for part in ("train", "val")
}
STEPS = 15  # 3 epochs of 5


def config(**values):
    given_ = {"epochs": 3, "batch_size": 8, "evaluations_per_epoch": 2, "patience": 9}
    return TrainConfig(**given_ | {"learning_rate": 0.01, "weight_decay": 1e-3} | values)


class Killed(Exception):
    """The process ends here."""


class Fragile(CTRTask):
    """Killed in its `at`-th step (or, negative, in its -`at`-th evaluation) of this life."""

    def __init__(self, at=0):
        seed_everything(7)
        super().__init__(Toy(SAMPLES.schema), FEEDS["train"], FEEDS["val"])
        self.at, self.steps, self.evaluations = at, 0, 0

    def loss(self, batch_rows):
        self.steps += 1
        if self.steps == self.at:
            raise Killed
        return super().loss(batch_rows)

    def evaluate(self):
        self.evaluations += 1
        if self.evaluations == -self.at:
            raise Killed
        return super().evaluate()


def outcome(task, result):
    weights = {name: value.clone() for name, value in task.module.state_dict().items()}
    return result.history, weights, predict(task.module, task.val), result.best_step, result.steps


def assert_equal(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        assert torch.equal(value, other[1][name]), name
    assert (one[2] == other[2]).all()
    assert one[3:] == other[3:]


def uninterrupted(settings_):
    task = Fragile()
    return outcome(task, fit(task, 40, settings_, seed=1))


@settings(max_examples=40)
@given(
    deaths=st.lists(st.integers(-4, STEPS).filter(bool), min_size=1, max_size=3),
    every=st.sampled_from([0, 1, 2, 7]),
    optimizer=st.sampled_from(["adam", "lazy-adam", "row-adagrad"]),
)
def test_killed_anywhere_and_resumed(deaths, every, optimizer):
    """Dies in any step or evaluation, up to three times, with any spacing of checkpoints."""
    chosen = config(checkpoint_every=every, optimizer=optimizer)
    with tempfile.TemporaryDirectory() as folder:
        for at in deaths:
            try:
                fit(Fragile(at), 40, chosen, seed=1, folder=Path(folder))
            except Killed:
                torch.rand(3)  # the next process finds other generators
        task = Fragile()
        found = outcome(task, fit(task, 40, chosen, seed=1, folder=Path(folder)))
    assert_equal(found, uninterrupted(chosen))


@pytest.mark.parametrize("k", range(1, STEPS))
def test_leaving_after_any_step_and_coming_back(tmp_path, k):
    left = fit(Fragile(), 40, config(), seed=1, folder=tmp_path, stop_after_steps=k)
    assert (left.finished, left.steps) == (False, k)
    task = Fragile(at=STEPS - k + 1)  # not one step is taken twice
    found = outcome(task, fit(task, 40, config(), seed=1, folder=tmp_path))
    assert_equal(found, uninterrupted(config()))


def test_checkpoints_do_not_change_what_is_learnt(tmp_path):
    task = Fragile()
    found = outcome(task, fit(task, 40, config(), seed=1, folder=tmp_path))
    assert_equal(found, uninterrupted(config()))


def test_a_finished_training_is_only_read(tmp_path):
    task = Fragile()
    found = outcome(task, fit(task, 40, config(), seed=1, folder=tmp_path))
    again = Fragile(at=1)
    assert_equal(found, outcome(again, fit(again, 40, config(), seed=1, folder=tmp_path)))
    assert (again.steps, again.evaluations) == (0, 0)


def test_seconds_add_up_over_lives(tmp_path):
    first = fit(Fragile(), 40, config(), seed=1, folder=tmp_path, stop_after_steps=6)
    assert fit(Fragile(), 40, config(), seed=1, folder=tmp_path).seconds > first.seconds > 0


def damage(path, how):
    held = path.read_bytes()
    middle = len(held) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": held[:middle],
            "noise": b"not a checkpoint" * 100,
            "one bit": held[:middle] + bytes([held[middle] ^ 1]) + held[middle + 1 :],
        }[how]
    )


@pytest.mark.parametrize("how", ["empty", "cut", "noise", "one bit"])
def test_a_damaged_checkpoint_is_named_and_nothing_is_trained(tmp_path, how):
    fit(Fragile(), 40, config(), seed=1, folder=tmp_path, stop_after_steps=3)
    damage(tmp_path / "last.pt", how)
    with pytest.raises(ArtefactError, match=r"last\.pt is damaged.*starts over"):
        fit(Fragile(at=1), 40, config(), seed=1, folder=tmp_path)


def test_a_checkpoint_cannot_run_code(tmp_path):
    """A pickle that would call something is refused, even with a checksum that fits."""
    import hashlib
    import io
    import pickle

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    stream = io.BytesIO()
    torch.save({"identity": Evil()}, stream, pickle_module=pickle)
    held = stream.getvalue()
    (tmp_path / "last.pt").write_bytes(held + hashlib.sha256(held).digest())
    with pytest.raises(ArtefactError, match=r"last\.pt is damaged"):
        fit(Fragile(), 40, config(), seed=1, folder=tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("seed", "rows", "values"), [(2, 40, {}), (1, 39, {}), (1, 40, {"learning_rate": 0.02})]
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, seed, rows, values):
    fit(Fragile(), 40, config(), seed=1, folder=tmp_path, stop_after_steps=3)
    with pytest.raises(ArtefactError, match=r"last\.pt was written by another training"):
        fit(Fragile(), rows, config(**values), seed=seed, folder=tmp_path)


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    chosen = config(checkpoint_every=1)
    fit(Fragile(), 40, chosen, seed=1, folder=tmp_path, stop_after_steps=3)
    held = (tmp_path / "last.pt").read_bytes()

    real = Path.open

    class Full:
        """A file on a disk with room for 100 bytes."""

        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.stream.close()

        def write(self, content):
            self.stream.write(bytes(content[:100]))
            raise OSError(28, "No space left on device")

    def opened(path, mode="r", **how):
        stream = real(path, mode, **how)
        return Full(stream) if mode == "wb" else stream

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(ArtefactError, match=r"no space left while writing .*last\.pt"):
            fit(Fragile(), 40, chosen, seed=1, folder=tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == held
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
    task = Fragile()
    found = outcome(task, fit(task, 40, chosen, seed=1, folder=tmp_path))
    assert_equal(found, uninterrupted(chosen))


def test_the_checkpoint_is_written_aside(tmp_path, monkeypatch):
    """Killed between writing and renaming: the earlier one is still what a reader finds."""
    fit(Fragile(), 40, config(), seed=1, folder=tmp_path, stop_after_steps=3)
    held = (tmp_path / "last.pt").read_bytes()

    def die(*_):
        raise Killed

    monkeypatch.setattr(files.os, "replace", die)
    with pytest.raises(Killed):
        fit(Fragile(), 40, config(), seed=1, folder=tmp_path, stop_after_steps=4)
    assert (tmp_path / "last.pt").read_bytes() == held
