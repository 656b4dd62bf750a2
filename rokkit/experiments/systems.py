"""The named systems of the paper, as runs: `DIN`, `RIM`, `DIN+ROK`, …

A system is `<model>`, `<backbone>+ROK` or, with a teacher other than that of the settings,
`<backbone>+ROK-<teacher>`, for any registered model. The teacher of a ROK system at seed s is the
run of the teacher's own system at seed s, so it is trained once, unless options say otherwise for
ROK systems alone (`rok.rim.dropout=0.5`): the teacher that predicts best is not always the one that
can be imitated best.

In place of ROK a backbone may be given something else (`AidSpec`): `LR+R` the teacher's r itself,
which is RIM(LR) of Table 4; `MLP+SOFT` the teacher's probabilities as labels; `MLP+POOL` the rows
of the pool as train samples; `MLP+STATS` what the pool counts of each id; `MLP+PAIRS` what it
counts of the user together with each item field; `MLP+PEEK` nothing, but its weights are selected
on test data. `LR+R-PET` names a teacher.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from rokkit.config import build, check_type
from rokkit.errors import ConfigError, unknown_name
from rokkit.experiments.settings import Settings
from rokkit.experiments.spec import (
    TAUGHT,
    AidSpec,
    DataSpec,
    Kind,
    KnowledgeSpec,
    ModelSpec,
    RetrievalSpec,
    RunSpec,
)
from rokkit.knowledge import ConstructConfig, KnowledgeBaseConfig, UseConfig, split_embedding_dim
from rokkit.models import is_dense, list_models, list_systems, list_teachers, model_entry
from rokkit.training import TrainConfig

ROK = "+ROK"
IN_ROK = "rok."  # before a model's name in options: as a part of ROK systems alone
HISTORY_LENGTH = "history_length"  # in model_options: of that model alone
GIFTS = ("rok", *get_args(Kind))  # what a system may name after its model


class Parsed(NamedTuple):
    """What the name of a system says."""

    model: str
    gift: str | None  # one of GIFTS
    teacher: str | None  # of a gift that has one


@dataclasses.dataclass(frozen=True)
class SystemRun:
    """One run of one named system."""

    system: str
    seed: int
    spec: RunSpec


def run_specs(settings: Settings) -> list[SystemRun]:
    """A run per system and seed, in the order of the settings."""
    return [
        SystemRun(system, seed, system_spec(system, settings, seed))
        for system in settings.systems
        for seed in settings.seeds
    ]


def system_spec(system: str, settings: Settings, seed: int) -> RunSpec:
    """The run of `system` with `seed`; ConfigError with the nearest name if it is unknown.

    So it is for a model that only the options name.
    """
    name, gift, teacher = parse_system(system, settings.teacher)
    _check_options(settings)
    rok = gift == "rok"
    knowledge = aid = None
    if rok and teacher:
        knowledge = _knowledge(teacher, settings)
    elif gift:
        aid = _aid(gift, teacher, settings)
    return RunSpec(
        data=DataSpec.of(settings.dataset, settings.options_of_data()),
        model=_model(name, settings, rok),
        retrieval=_retrieval(teacher or name, settings),
        history_length=_history_length(name, settings, rok),
        training=_training(name, settings, rok),
        knowledge=knowledge,
        aid=aid,
        seed=seed,
    )


def _check_options(settings: Settings) -> None:
    for where, options in (
        ("model_options", settings.options_of_models()),
        ("training_options", settings.options_of_training()),
    ):
        for option in options:
            if option.removeprefix(IN_ROK) not in list_systems():
                raise ConfigError(f"{where}: " + unknown_name("model", option, list_systems()))


def _retrieval(reader: str, settings: Settings) -> RetrievalSpec:
    """The neighbours that the model `reader` is made for."""
    common = RetrievalSpec(k=settings.k, fields=settings.retrieval_fields)
    if not is_dense(reader):
        return common
    return dataclasses.replace(
        common,
        engine=settings.dense_engine,
        encoder=_model(settings.encoder, settings, rok=False),
        encoder_training=_training(settings.encoder, settings, rok=False),
    )


def parse_system(system: str, teacher: str = "rim") -> Parsed:
    """The registered model behind `system`, what it is given, and the teacher if that has one.

    `teacher` is that of a system which names none. ConfigError with the nearest name otherwise.
    """
    name, plus, rest = system.lower().partition("+")
    gift, dash, named = rest.partition("-")
    taught = gift in ("rok", *TAUGHT)
    fits = (
        name in list_systems()
        and (not plus or gift in GIFTS)
        and (not dash or (taught and named in list_systems()))
    )
    if not fits:
        raise ConfigError(unknown_name("system", system, _known_systems()))
    return Parsed(name, gift or None, (named or teacher) if taught else None)


def _known_systems() -> list[str]:
    """Names to choose the nearest of."""
    models = [n.upper() for n in list_models()]
    gifts = [f"{n}+{gift.upper()}" for n in models for gift in GIFTS]
    taught = [g for g in gifts if g.rpartition("+")[2].lower() in ("rok", *TAUGHT)]
    named = [f"{one}-{t.upper()}" for one in taught for t in list_teachers()]
    return [n.upper() for n in list_systems()] + gifts + named


def _own(options: Mapping[str, dict[str, Any]], name: str, rok: bool) -> dict[str, Any]:
    """The options of a model, by itself or as a part of a ROK system."""
    return options.get(name, {}) | (options.get(IN_ROK + name, {}) if rok else {})


def _history_length(name: str, settings: Settings, rok: bool) -> int:
    """Behaviours that the model sees: its own option, else what all see."""
    own = _own(settings.options_of_models(), name, rok)
    where = f"model_options: {name}.{HISTORY_LENGTH}"
    return int(check_type(own.get(HISTORY_LENGTH, settings.history_length), int, where=where))


def _model(name: str, settings: Settings, rok: bool) -> ModelSpec:
    """The shared settings that the model has, then its own options."""
    dropout = settings.dropout
    if name == settings.teacher and settings.teacher_dropout is not None:
        dropout = settings.teacher_dropout
    shared: Mapping[str, Any] = {
        "embed_dim": settings.embed_dim,
        "hidden": settings.hidden,
        "dropout": dropout,
        "batch_norm": settings.batch_norm,
    }
    has = {f.name for f in dataclasses.fields(model_entry(name).meta["config"])}
    own = _own(settings.options_of_models(), name, rok)
    own.pop(HISTORY_LENGTH, None)  # a setting of the run
    return ModelSpec.of(name, {k: v for k, v in shared.items() if k in has} | own)


def _training(name: str, settings: Settings, rok: bool) -> TrainConfig:
    """Training of a model; the teacher may have its own."""
    config = TrainConfig(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        patience=settings.patience,
        evaluations_per_epoch=settings.evaluations_per_epoch,
        monitor=settings.monitor,
        amp=settings.amp,
        compile=settings.compile,
        optimizer=settings.optimizer,
    )
    tuned = _own(settings.options_of_training(), name, rok)
    config = build(
        TrainConfig, dataclasses.asdict(config) | tuned, where=f"training_options of {name!r}"
    )
    if name != settings.teacher:
        return config
    own: dict[str, Any] = {
        "epochs": settings.teacher_epochs,
        "batch_size": settings.teacher_batch_size,
        "learning_rate": settings.teacher_learning_rate,
        "weight_decay": settings.teacher_weight_decay,
    }
    return dataclasses.replace(config, **{k: v for k, v in own.items() if v is not None})


def _aid(gift: str, teacher: str | None, settings: Settings) -> AidSpec:
    if teacher is None:
        return build(AidSpec, {"kind": gift}, where=f"+{gift.upper()}")
    return build(
        AidSpec,
        {
            "kind": gift,
            "teacher": _model(teacher, settings, rok=False),
            "teacher_training": _training(teacher, settings, rok=False),
            "weight": settings.soft_weight,
        },
        where=f"+{gift.upper()}",
    )


def _knowledge(teacher: str, settings: Settings) -> KnowledgeSpec:
    return KnowledgeSpec(
        teacher=_model(teacher, settings, rok=True),
        teacher_training=_training(teacher, settings, rok=True),
        base=KnowledgeBaseConfig(
            dim=split_embedding_dim(settings.embed_dim)[1],
            hidden=settings.base_hidden,
            dropout=settings.base_dropout,
            standardise=settings.standardise,
            encoder=settings.base_encoder,
        ),
        construct=ConstructConfig(
            alpha=settings.alpha, positive=settings.positive, pool_rows=settings.pool_rows
        ),
        construct_training=TrainConfig(
            epochs=settings.construct_epochs,
            batch_size=settings.construct_batch_size,
            learning_rate=settings.construct_learning_rate,
            weight_decay=settings.construct_weight_decay,
            patience=settings.construct_patience,
            monitor="loss",
            amp=settings.amp,
            compile=settings.compile,
            optimizer=settings.optimizer,
        ),
        use=UseConfig(manner=settings.manner, update=settings.update),
    )


def system_name(spec: RunSpec) -> str:
    """The name of the system that `spec` belongs to, as tables show it: `DIN+ROK`."""
    return spec.system.upper()
