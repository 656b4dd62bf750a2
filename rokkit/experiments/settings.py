"""Every parameter a notebook or a params file may set, flat, with its meaning and its range."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from rokkit.config import build, options, read_yaml, require
from rokkit.errors import ConfigError
from rokkit.experiments.executors import check_executor
from rokkit.paths import shown


def _setting(default: Any, doc: str) -> Any:
    """A field with its meaning, which `Settings.doc` and the command line show."""
    return dataclasses.field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of a study: a data set, the systems compared on it and how they are trained.

    Raises ConfigError for a value outside its range. Names of data sets, models and systems are
    checked where they are used, because they may be registered later.
    """

    # What is compared, on what
    dataset: str = _setting("movielens", "data set: movielens, journey or one you registered")
    study: str = _setting("", "folder under results/ and figures/; empty: the data set's name")
    data_options: tuple[str, ...] = _setting((), "options of the data set, each key=value")
    systems: tuple[str, ...] = _setting(
        ("LR", "MLP", "DIN", "RIM", "MLP+ROK", "DIN+ROK"),
        "systems compared: a model's name, or <backbone>+ROK",
    )
    backbones: tuple[str, ...] = _setting(
        ("DEEPFM", "DIN", "DIEN", "SIM", "UBR"), "backbones compared with and without ROK (Table 3)"
    )
    backbone: str = _setting("DIN", "system that Rel. Impr. (Eq. 9) is relative to")
    seeds: tuple[int, ...] = _setting((0, 1, 2, 3, 4), "one run of every system per seed")

    # Inputs of the models
    k: int = _setting(10, "neighbours retrieved for each sample")
    retrieval_fields: tuple[str, ...] = _setting((), "fields matched; empty: the data set's own")
    dense_engine: Literal["dense", "approximate"] = _setting(
        "dense", "search of dense neighbours (DERT): exact, or approximate by faiss"
    )
    encoder: str = _setting("rim", "model whose id table makes the vectors of dense neighbours")
    history_length: int = _setting(50, "behaviours of the user that a model sees, newest kept")
    # DEVIATION(RIM, config.ini): its cap of 100 (max_seq_len) holds in params/tmall, taobao and
    # alipay. In studies of other logs models see the 20 newest (10 in params/movielens, 200 in
    # params/journey-long), SIM and UBR 200 where systems are compared (docs/systems.md).

    # Models
    embed_dim: int = _setting(16, "embedding width d of one field")
    hidden: tuple[int, ...] = _setting((200, 80), "hidden widths of the models' heads")
    dropout: float = _setting(0.0, "dropout in the models' heads")
    batch_norm: bool = _setting(False, "BatchNorm in the hidden layers of the models' heads")
    # rok.model.setting=value holds where the model is a part of a ROK system alone.
    model_options: tuple[str, ...] = _setting((), "further settings, each model.setting=value")

    # Training of the models
    epochs: int = _setting(20, "at most so many epochs")
    batch_size: int = _setting(512, "samples per step")
    learning_rate: float = _setting(1e-3, "Adam's step size")
    weight_decay: float = _setting(0.0, "decay of dense weights; id tables never decay")
    patience: int = _setting(3, "evaluations without a better validation score before stopping")
    evaluations_per_epoch: int = _setting(1, "how often an epoch is validated")
    monitor: Literal["auc", "log_loss", "loss"] = _setting("auc", "validation score that selects")
    amp: bool = _setting(False, "bfloat16 autocast")
    compile: bool = _setting(False, "torch.compile for training; needs a C++ compiler on a CPU")
    optimizer: Literal["adam", "lazy-adam", "row-adagrad"] = _setting(
        "adam", "adam; lazy-adam, the same at the cost of the ids looked up; or row-adagrad"
    )
    training_options: tuple[str, ...] = _setting(
        (), "training of a single model, over the above, each model.setting=value"
    )

    # The teacher; None: the same as the other models
    teacher: str = _setting("rim", "model whose retrieved knowledge is imitated")
    teacher_epochs: int | None = _setting(None, "the teacher's epochs")
    teacher_batch_size: int | None = _setting(None, "the teacher's samples per step")
    teacher_learning_rate: float | None = _setting(None, "the teacher's step size")
    teacher_weight_decay: float | None = _setting(None, "the teacher's weight decay")
    teacher_dropout: float | None = _setting(None, "the teacher's dropout")

    # Construction of the knowledge base (§4.3)
    alpha: float = _setting(0.1, "weight of the contrastive loss against imitation, Eq. 8")
    points: int = _setting(10_000, "train samples, and as many of test, drawn by t-SNE")
    alphas: tuple[float, ...] = _setting(
        (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0), "values of alpha that are compared (Figures 6 and 9)"
    )
    positive: Literal["top", "random", "attn", "same_label"] = _setting(
        "top", "neighbour taken as the positive"
    )
    pool_rows: int = _setting(0, "rows of the pool that are imitated too, each without itself")
    base_encoder: Literal["mlp", "transformer"] = _setting("mlp", "the encoder g")
    base_hidden: tuple[int, ...] = _setting((256, 256), "hidden widths of the encoder g")
    base_dropout: float = _setting(0.0, "dropout in the hidden layers of the encoder g")
    standardise: bool = _setting(True, "imitate r standardised per dimension by train statistics")
    construct_epochs: int = _setting(20, "at most so many epochs of construction")
    construct_batch_size: int = _setting(512, "samples per step of construction")
    construct_learning_rate: float = _setting(1e-3, "Adam's step size in construction")
    construct_weight_decay: float = _setting(0.0, "decay of g's weights in construction")
    construct_patience: int = _setting(3, "evaluations without a lower loss before stopping")

    # Use of the knowledge base (§4.4)
    manner: Literal["instance", "feature", "both"] = _setting("both", "where knowledge enters")
    update: Literal["fix", "g", "fg"] = _setting("fix", "what of the base is trained further")

    # Controls and extensions
    teachers: tuple[str, ...] = _setting(
        ("PET", "DERT"), "teachers that 19_beyond compares with the study's own"
    )
    imitated: int = _setting(100_000, "rows of the pool that 19_beyond imitates too")
    long_seeds: tuple[int, ...] = _setting(
        (0,), "seeds of what learns from the whole pool (18_protocol, 19_beyond)"
    )
    long_evaluations: int = _setting(2, "how often an epoch over the whole pool is validated")
    protocols: tuple[str, ...] = _setting(
        (), "options of the data set, each compared with the study's own (18_protocol)"
    )
    forms: tuple[Literal["eager", "onnx", "compiled"], ...] = _setting(
        ("eager",),
        "how a model is asked: eager, onnx (extra [export]), compiled",
    )
    soft_weight: float = _setting(0.5, "weight of the teacher's probabilities in <backbone>+SOFT")

    # Where it runs
    device: Literal["auto", "cpu", "cuda", "mps"] = _setting("auto", "device of the models")
    jobs: int = _setting(1, "runs at the same time, each in its own process")
    executor: str = _setting("", "a cluster that does the runs, dask://host:port; empty: this one")

    def __post_init__(self) -> None:
        options(self.data_options, where="data_options")
        check_executor(self.executor)
        for one in self.protocols:
            options([one], where="protocols")
        self.options_of_models()
        self.options_of_training()
        require(bool(self.systems), "systems", self.systems, "at least one")
        require(bool(self.seeds), "seeds", self.seeds, "at least one")
        require(bool(self.backbones), "backbones", self.backbones, "at least one")
        require(bool(self.alphas), "alphas", self.alphas, "at least one")
        for name in ("systems", "seeds", "backbones", "alphas"):
            held = getattr(self, name)
            require(len(set(held)) == len(held), name, held, "no repetition")
        require(min(self.seeds) >= 0, "seeds", self.seeds, "numbers from 0")
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "at least 1")
        for name in ("batch_size", "teacher_batch_size", "construct_batch_size"):
            value = getattr(self, name)
            require(value is None or value >= 2, name, value, "at least 2, for BatchNorm")
        even = self.embed_dim % 2 == 0
        require(even, "embed_dim", self.embed_dim, "an even number: ROK's tables take half each")
        for name in ("learning_rate", "teacher_learning_rate", "construct_learning_rate"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "more than 0")
        for name in ("weight_decay", "teacher_weight_decay", "construct_weight_decay"):
            value = getattr(self, name)
            require(value is None or value >= 0, name, value, "at least 0")
        for name in ("dropout", "teacher_dropout", "base_dropout"):
            value = getattr(self, name)
            require(value is None or 0 <= value < 1, name, value, "from 0 to below 1")
        require(0 <= self.soft_weight <= 1, "soft_weight", self.soft_weight, "from 0 to 1")
        require(self.pool_rows >= 0, "pool_rows", self.pool_rows, "at least 0")
        for alpha in (self.alpha, *self.alphas):
            require(0 <= alpha <= 1, "alpha", alpha, "from 0 to 1")
        for name in ("hidden", "base_hidden"):
            widths = getattr(self, name)
            require(all(w >= 1 for w in widths), name, widths, "widths of at least 1")
        require(
            not set(self.study_name) & set("/\\") and self.study_name not in (".", ".."),
            "study",
            self.study,
            "a folder's name without slashes",
        )

    @property
    def study_name(self) -> str:
        """`study`, or the data set's name."""
        return self.study or self.dataset

    def options_of_data(self) -> dict[str, Any]:
        """`data_options` as a mapping."""
        return options(self.data_options, where="data_options")

    def options_of_models(self) -> dict[str, dict[str, Any]]:
        """`model_options` by model, or by rok.model for what holds in ROK systems alone.

        ConfigError for a text that is no model.setting=value.
        """
        return _by_model(self.model_options, "model_options")

    def options_of_training(self) -> dict[str, dict[str, Any]]:
        """`training_options` by model, as `options_of_models`."""
        return _by_model(self.training_options, "training_options")

    @classmethod
    def from_yaml(cls, path: Path | str) -> "Settings":
        """Read a flat params file; ConfigError if it is missing, damaged or sets the unknown."""
        return build(cls, read_params(path), where=shown(Path(path)))

    @classmethod
    def doc(cls, name: str) -> str:
        """What the setting `name` means."""
        return {f.name: str(f.metadata["doc"]) for f in dataclasses.fields(cls)}[name]


def _by_model(pairs: tuple[str, ...], where: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in options(pairs, where=where).items():
        model, dot, setting = name.rpartition(".")
        if not (model and dot and setting):
            raise ConfigError(f"{where}: {name!r} names no model; write it as model.setting=value.")
        found.setdefault(model, {})[setting] = value
    return found


_AT_LEAST_ONE = (
    "imitated",
    "long_evaluations",
    "points",
    "k",
    "history_length",
    "embed_dim",
    "epochs",
    "patience",
    "evaluations_per_epoch",
    "teacher_epochs",
    "construct_epochs",
    "construct_patience",
    "jobs",
)


def read_params(path: Path | str) -> dict[str, Any]:
    """A flat params file as a mapping; ConfigError if it is missing or is no mapping."""
    path = Path(path)
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{shown(path)} does not exist. Params files lie in params/.") from None
    except OSError as error:  # a folder, or not allowed
        raise ConfigError(f"{shown(path)} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown(path)} cannot be read as YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{shown(path)} holds a {type(values).__name__}; expected key: value.")
    return values
