"""Settings: every parameter documented, in range, and strict about names and types."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from rokkit.errors import ConfigError
from rokkit.experiments.settings import Settings

FIELDS = [f.name for f in dataclasses.fields(Settings)]


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_says_what_it_means(name: str) -> None:
    assert len(Settings.doc(name)) > 10


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("alpha", 1.01, "from 0 to 1"),
        ("alpha", -0.1, "from 0 to 1"),
        ("k", 0, "at least 1"),
        ("jobs", 0, "at least 1"),
        ("epochs", 0, "at least 1"),
        ("batch_size", 1, "at least 2"),
        ("construct_batch_size", 1, "at least 2"),
        ("embed_dim", 7, "an even number"),
        ("history_length", 0, "at least 1"),
        ("learning_rate", 0.0, "more than 0"),
        ("teacher_learning_rate", -1.0, "more than 0"),
        ("weight_decay", -1e-9, "at least 0"),
        ("dropout", 1.0, "from 0 to below 1"),
        ("seeds", (), "at least one"),
        ("seeds", (1, 1), "no repetition"),
        ("seeds", (-1,), "numbers from 0"),
        ("systems", (), "at least one"),
        ("hidden", (8, 0), "widths of at least 1"),
        ("study", "../x", "a folder's name"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*{expected}"):
        Settings(**{name: value})


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_both_ends_of_alpha_are_legal(alpha: float) -> None:
    assert Settings(alpha=alpha).alpha == alpha


def test_options_are_read_as_pairs() -> None:
    settings = Settings(
        data_options=("train_rows=80000", "split=global", "share=0.5"),
        model_options=("din.dropout=0.5", "rim.embed_dim=8", "din.embed_dim=4"),
    )
    assert settings.options_of_data() == {"train_rows": 80000, "split": "global", "share": 0.5}
    assert settings.options_of_models() == {
        "din": {"dropout": 0.5, "embed_dim": 4},
        "rim": {"embed_dim": 8},
    }


@pytest.mark.parametrize("text", ["train_rows", "=3"])
def test_an_option_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write it as key=value"):
        Settings(data_options=(text,))


def test_a_model_option_without_a_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"write it as model\.setting=value"):
        Settings(model_options=("dropout=0.5",))


def test_the_study_is_named_after_the_data_set_unless_it_is_given() -> None:
    assert Settings(dataset="journey").study_name == "journey"
    assert Settings(dataset="journey", study="journey-hard").study_name == "journey-hard"


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("dataset: journey\nseeds: [0, 1]\nlearning_rate: 1\n")
    assert Settings.from_yaml(path) == Settings(dataset="journey", seeds=(0, 1), learning_rate=1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alhpa: 0.5", "setting 'alhpa' is not known. Did you mean 'alpha'"),
        ("epochs: '3'", "epochs is '3'"),
        ("seeds: 3", "seeds is 3"),
        ("manner: bothh", "Did you mean 'both'"),
        ("- a", "holds a list"),
        ("a: [", "cannot be read as YAML"),
        ("alpha: 2", "alpha is 2.0; expected from 0 to 1"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Settings.from_yaml(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml does not exist"):
        Settings.from_yaml("no.yaml")
