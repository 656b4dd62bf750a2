"""Specs: a key covers what a run uses, all of it and nothing else."""

import dataclasses
import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from small_study import lineage, settle, spec

from rokkit.errors import ConfigError
from rokkit.experiments import DataSpec, KnowledgeSpec, ModelSpec, RetrievalSpec, Runs, RunSpec
from rokkit.experiments import spec as specs
from rokkit.knowledge import ConstructConfig, KnowledgeBaseConfig, UseConfig
from rokkit.models import MODELS, list_systems, register_teacher
from rokkit.models.base import Backbone, BackboneConfig
from rokkit.models.rim import RIM, RIMConfig
from rokkit.training import TrainConfig

USER = spec("MLP+ROK")
KNOWLEDGE = USER.knowledge
CONSTRUCTION, TEACHER = USER.parents()[0], USER.parents()[0].parents()[0]
DIN = spec("DIN")


def key(one: RunSpec, fingerprint: str = "f") -> str:
    return one.key(fingerprint)


@pytest.mark.parametrize(
    "one",
    [
        spec("LR"),
        spec("RIM", 3, retrieval_fields=("user", "brand"), k=7),
        spec("DIN", data_options=("rows=50", "noise=0.2")),
        CONSTRUCTION,
        spec("MLP+ROK", 1, alpha=0.0, update="fg", manner="feature"),
    ],
    ids=lambda one: one.label,
)
def test_a_spec_survives_json(one: RunSpec) -> None:
    again = RunSpec.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one
    assert key(again) == key(one)


def test_the_key_is_the_hash_of_sorted_json() -> None:
    text = json.dumps(USER.resolved("f"), sort_keys=True, separators=(",", ":"))
    assert key(USER) == hashlib.sha256(text.encode()).hexdigest()


def test_the_key_does_not_depend_on_the_order_or_the_spelling_of_settings() -> None:
    """Kills: a key over the options as they were given; defaults left out of it."""
    one = ModelSpec.of("mlp", {"hidden": [8], "dropout": 0})
    other = ModelSpec.of("mlp", {"dropout": 0.0, "hidden": (8,), "batch_norm": False})
    assert key(replace(spec("MLP"), model=one)) == key(replace(spec("MLP"), model=other))
    data = DataSpec.of("small", {"rows": 50, "noise": 0.2})
    assert data == DataSpec.of("small", {"noise": 0.2, "rows": 50})


@pytest.mark.parametrize("one", [spec("LR"), TEACHER, CONSTRUCTION, USER], ids=lambda r: r.label)
def test_the_key_changes_with_the_samples(one: RunSpec) -> None:
    assert key(one, "f") != key(one, "g")


@pytest.mark.parametrize("one", [spec("LR"), TEACHER, CONSTRUCTION, USER], ids=lambda r: r.label)
def test_the_key_changes_with_the_format(one: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(one)
    monkeypatch.setattr(specs, "FORMAT", specs.FORMAT + 1)
    assert key(one) != before


OTHER_TRAINING = {
    "epochs": 9,
    "batch_size": 8,
    "learning_rate": 0.5,
    "weight_decay": 0.5,
    "patience": 9,
    "evaluations_per_epoch": 2,
    "monitor": "log_loss",
    "amp": True,
    "compile": True,
    "checkpoint_every": 4,
}
OTHER_BASE = {
    "encoder": "transformer",
    "dim": 6,
    "hidden": (9,),
    "batch_norm": False,
    "dropout": 0.7,
    "standardise": False,
    "init_std": 0.5,
}
OTHER_TRANSFORMER = {"layers": 3, "heads": 2, "width": 8}
OTHER_CONSTRUCT = {"alpha": 0.9, "positive": "random", "pool_rows": 7}
OTHER_USE = {"manner": "instance", "update": "fg", "on_history": False}


def test_every_setting_is_tried_below() -> None:
    for config, tried in (
        (TrainConfig, OTHER_TRAINING | {"optimizer": "adam"}),  # there is no other optimizer
        (KnowledgeBaseConfig, OTHER_BASE | OTHER_TRANSFORMER),
        (ConstructConfig, OTHER_CONSTRUCT),
        (UseConfig, OTHER_USE),
    ):
        assert {f.name for f in dataclasses.fields(config)} == set(tried)


def changes() -> Iterator[Any]:
    """(name, a change of a spec, the runs of USER's lineage whose keys change)."""

    def knowing(**parts: Any) -> Callable[[RunSpec], RunSpec]:
        def change(one: RunSpec) -> RunSpec:
            changed = {
                name: replace(getattr(one.knowledge, name), **values)
                for name, values in parts.items()
            }
            return replace(one, knowledge=replace(one.knowledge, **changed))

        return change

    def trained(name: str, value: Any) -> Callable[[RunSpec], RunSpec]:
        return lambda one: replace(one, training=replace(one.training, **{name: value}))

    for name, value in OTHER_TRAINING.items():
        yield f"training.{name}", trained(name, value), "001"
        yield f"construct_training.{name}", knowing(construct_training={name: value}), "011"
        yield f"teacher_training.{name}", knowing(teacher_training={name: value}), "111"
    for name, value in OTHER_BASE.items():
        yield f"base.{name}", knowing(base={name: value}), "011"
    for name, value in OTHER_TRANSFORMER.items():  # an MLP has none of these
        yield f"base.{name}", knowing(base={name: value}), "000"
    for name, value in OTHER_CONSTRUCT.items():
        yield f"construct.{name}", knowing(construct={name: value}), "011"
    for name, value in OTHER_USE.items():
        yield f"use.{name}", knowing(use={name: value}), "001"
    yield "seed", lambda one: replace(one, seed=1), "111"
    yield "k", lambda one: replace(one, retrieval=RetrievalSpec(k=4)), "111"
    yield "fields", lambda one: replace(one, retrieval=RetrievalSpec(k=3, fields=("item",))), "111"
    yield "history_length", lambda one: replace(one, history_length=9), "000"
    wider = ModelSpec.of("mlp", dict(USER.model.config) | {"hidden": (9,)})
    yield "model", lambda one: replace(one, model=wider), "001"
    taught = ModelSpec.of("rim", dict(KNOWLEDGE.teacher.config) | {"scale_attention": True})
    yield "teacher", lambda o: replace(o, knowledge=replace(o.knowledge, teacher=taught)), "111"


@pytest.mark.parametrize(
    ("change", "expected"), [pytest.param(c, e, id=name) for name, c, e in changes()]
)
def test_a_change_reaches_the_runs_that_use_it_and_no_others(
    change: Callable[[RunSpec], RunSpec], expected: str
) -> None:
    """Teacher, construction, user: 1 where the key must change, 0 where it must not."""
    pairs = zip(lineage(USER), lineage(change(USER)), strict=True)
    assert "".join(str(int(key(a) != key(b))) for a, b in pairs) == expected


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, v in (OTHER_BASE | OTHER_TRANSFORMER).items()]
)
def test_the_key_of_a_transformer_covers_what_a_transformer_has(name: str, value: Any) -> None:
    def base(**values: Any) -> RunSpec:
        settings = KnowledgeBaseConfig(**{"encoder": "transformer"} | values)
        return replace(CONSTRUCTION, knowledge=replace(KNOWLEDGE, base=settings))

    used = name not in ("encoder", "hidden", "batch_norm")
    assert (key(base(**{name: value})) != key(base())) is used


# Written down when knowledge bases were MLPs that imitate r of train targets, and no more. Whoever
# finds them changed has changed what earlier runs are found by: see LATER in spec.py.
KEYS = {
    "din-s0": "5c740f18fabde278303dc1c724e407edfeac059838f2a90dda2bdd69ad4ed611",
    "rim-s0": "7f64d1132a033e51e18f8231ea5361b6b75981d85830500c0ec1a9b50a5808d4",
    "knowledge-rim-s0": "f4f34a28c2819900cef467570e827cf1efc2c0a4e567562b99df87b75e471ce7",
    "mlp+rok-s0": "5a7a5b251e61edf22679cb2b7af89ad74c6b730ac6842fddf8dfdfa96081ef7f",
}


def test_runs_made_before_some_settings_were_there_keep_their_keys() -> None:
    assert {one.label: key(one) for one in [DIN, *lineage(USER)]} == KEYS
    random = spec("MLP+ROK", positive="random", alpha=0.0)
    assert key(random) == "5ddb6a61db5a90d3b9840967ce9adabd9a0cc9789d62662d7ff0a2e7914f5f3a"


# The same of each system, written down in front of the first settings that came later.
MODEL_KEYS = {
    "deepfm": "71f33ec6dad1acacf8f43f359849ba9fb4dd907f51336a64e9e312f53962bf8b",
    "dert": "431db9830f2608d514bf5acce8fbd2e2c6d7019a192790fe5edd4ff673141f3c",
    "dien": "b1c635f8e4963d124e60703feb9a87bcadaf21b8dcbdfd08862827a136a01c9a",
    "din": "5c740f18fabde278303dc1c724e407edfeac059838f2a90dda2bdd69ad4ed611",
    "fate": "9b755814712c4b2309ce01476ba3be5f97763a50bf5fc360cf4a0c6e38e72ec1",
    "gbdt": "211df661fc997a6c938279c830cb0274efc2bb911e2d23ba826af9f347d86257",
    "gbdt-target": "5063541326234c8cde6d4303ae5487ecefe73338644a66fdb84f1242ec74787a",
    "hpmn": "e9ef057416916b1321ad1e7a560fa974264023171999f8f438151f6417874c02",
    "lr": "b70150b944e60dc8af73ba46976c775cf7075a40a4b877b3255945b74cc0de4a",
    "mimn": "7648ee56f1e63fd0f2f7a70bd60fa9cf176e50cdab43b2960e951be9a93e42ff",
    "mlp": "26819d2bd392083e2b53eed9869cb1caed11674509c8cbc088f063011f0b261a",
    "pet": "d2c3a6747d3ae1ee6f6376a25844c95f2d9033b2773b827a151e53b0b9bf6f03",
    "rim": "7f64d1132a033e51e18f8231ea5361b6b75981d85830500c0ec1a9b50a5808d4",
    "sim": "83b37e5a8ad54ae9ded6474f5ff7d7c0e5c35302a8729369937e83cbea0efeed",
    "ubr": "53830d6942977817488c7aa62c32b49b9184f3cbf9c4275f40bdd4ac58578ebf",
}


@pytest.mark.parametrize("system", list_systems())
def test_a_setting_that_came_later_changes_no_key_of_a_model(system: str) -> None:
    """Kills: a new setting of a model, by which every run of it would be made again."""
    assert key(spec(system.upper())) == MODEL_KEYS[system]


@pytest.mark.parametrize(
    ("system", "option"),
    [
        ("FATE", "graph=batch"),
        ("SIM", "attention=heads"),
        ("SIM", "heads=2"),
        ("SIM", "attention_dim=32"),
        ("UBR", "turns=5"),
    ],
)
def test_a_later_setting_of_a_model_is_in_the_key_where_it_is_used(
    system: str, option: str
) -> None:
    used = spec(system, model_options=(f"{system.lower()}.{option}",))
    assert key(used) != MODEL_KEYS[system.lower()]
    name = option.partition("=")[0]
    assert name in used.resolved("f")["model"]["config"]
    assert name not in spec(system).resolved("f")["model"]["config"]


@pytest.mark.parametrize(
    ("part", "name", "value", "other"),
    [("base", "encoder", "mlp", "transformer"), ("construct", "pool_rows", 0, 3)],
)
def test_a_later_setting_is_in_the_key_but_for_its_first_value(
    part: str, name: str, value: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills: a setting left out because it is at the default, whatever that is by then."""

    def at(one: Any) -> RunSpec:
        changed = replace(getattr(KNOWLEDGE, part), **{name: one})
        return replace(CONSTRUCTION, knowledge=replace(KNOWLEDGE, **{part: changed}))

    assert name not in at(value).resolved("f")[part]
    assert at(other).resolved("f")[part][name] == other
    config = type(getattr(KNOWLEDGE, part))
    assert specs.LATER[config] == {name: value}
    default = (name, Any, dataclasses.field(default=other))
    changed_default = dataclasses.make_dataclass(
        "Changed", [default], bases=(config,), frozen=True, kw_only=True
    )
    monkeypatch.setitem(specs.LATER, changed_default, specs.LATER[config])
    changed = replace(CONSTRUCTION, knowledge=replace(KNOWLEDGE, **{part: changed_default()}))
    assert changed.resolved("f")[part][name] == other


def test_a_later_setting_of_training_is_in_the_key_but_for_its_first_value() -> None:
    assert specs.LATER[TrainConfig] == {"compile": False}
    for one, changed in (("DIN", True), ("MLP+ROK", True), ("GBDT", False)):
        plain, compiled = spec(one), spec(one, compile=True)
        for before, after in zip(lineage(plain), lineage(compiled), strict=True):
            assert (key(before) != key(after)) is changed
            held = after.resolved("f").get("training", {})
            assert held.get("compile", False) is changed
            assert "compile" not in before.resolved("f").get("training", {})


@pytest.mark.parametrize(
    ("system", "values", "changed"),
    [
        ("LR", {"k": 5}, False),
        ("LR", {"retrieval_fields": ("item",)}, False),
        ("LR", {"history_length": 9}, False),
        ("LR", {"alpha": 0.9, "update": "fg", "teacher_epochs": 9}, False),
        ("LR", {"hidden": (9,)}, False),  # LR has no hidden layers
        ("LR", {"embed_dim": 8}, True),
        ("DIN", {"history_length": 9}, True),
        ("DIN", {"k": 5}, False),
        ("RIM", {"k": 5}, True),
        ("RIM", {"history_length": 9}, False),
    ],
)
def test_what_a_model_does_not_read_is_not_in_its_key(
    system: str, values: dict[str, Any], changed: bool
) -> None:
    assert (key(spec(system)) != key(spec(system, **values))) is changed


def test_what_a_model_reads_may_depend_on_its_settings() -> None:
    """Kills: needs read off the class, which cannot know that the auxiliary loss runs."""
    plain, learning = spec("DIEN"), spec("DIEN", model_options=("dien.aux_weight=0.5",))
    assert plain.needs == {"history"}
    assert learning.needs == spec("DIEN+ROK", model_options=("dien.aux_weight=0.5",)).needs
    assert learning.needs == {"history", "history_negatives"}
    assert key(plain) != key(learning)
    assert key(plain) == key(spec("DIEN", model_options=("dien.aux_weight=0.0",)))
    for one in (plain, learning):
        assert one.resolved("f")["history_length"] == one.history_length
        assert key(replace(one, history_length=9)) != key(one)


def test_a_construction_is_shared_by_all_that_use_it() -> None:
    """Kills: a key of the parent that covers the model, its training or the use."""
    others = [spec("DIN+ROK"), spec("MLP+ROK", update="g", epochs=7, teacher_epochs=2)]
    for other in others:
        assert key(other) != key(USER)
        assert [key(p) for p in other.parents()] == [key(p) for p in USER.parents()]


def test_the_teacher_of_a_system_is_the_teachers_own_run() -> None:
    assert key(TEACHER) == key(spec("RIM"))
    assert [run.label for run in lineage(USER)] == ["rim-s0", "knowledge-rim-s0", "mlp+rok-s0"]


OWN = """
from rokkit.models import BackboneConfig, register_backbone
from rokkit.models.lr import LR

@register_backbone("own", config=BackboneConfig)
class Own(LR):
    def forward(self, batch, embedding, extra=None):
        return super().forward(batch, embedding, extra) * 1.0
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Writes a module that defines the model `own`, and imports it afresh."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(text: str) -> ModuleType:
        (tmp_path / "own_model.py").write_text(text)
        sys.modules.pop("own_model", None)
        importlib.invalidate_caches()
        return importlib.import_module("own_model")

    yield written
    sys.modules.pop("own_model", None)
    MODELS.remove("own")


def test_editing_a_model_outside_rokkit_changes_its_key(
    own: Callable[[str], ModuleType],
) -> None:
    own(OWN)
    one = replace(spec("LR"), model=ModelSpec.of("own"))
    before = key(one)
    own(OWN.replace("1.0", "2.0"))
    assert key(one) != before
    own(OWN)
    assert key(one) == before
    assert one.resolved("f")["code"] is not None
    assert spec("LR").resolved("f")["code"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelSpec.of("rmi"), "model 'rmi' is not known. Did you mean 'rim'"),
        (lambda: ModelSpec.of("lr", {"embed_dm": 4}), "'embed_dm' is not known. Did you mean 'em"),
        (lambda: ModelSpec.of("lr", {"embed_dim": "4"}), "embed_dim is '4' .str.; expected int"),
        (lambda: DataSpec.of("small", {"rows": {1, 2}}), "rows is {1, 2}"),
        (lambda: ConstructConfig(alpha=1.01), "alpha is 1.01; expected a number from 0 to 1"),
        (lambda: ConstructConfig(alpha=-0.01), "alpha is -0.01"),
        (lambda: ConstructConfig(pool_rows=-1), "pool_rows is -1; expected at least 0"),
        (lambda: RetrievalSpec(k=0), "k is 0; expected at least 1"),
        (lambda: KnowledgeSpec(teacher=ModelSpec.of("mlp")), "'mlp' aggregates no neighbours"),
        (lambda: KnowledgeSpec(teacher=ModelSpec.of("mlp")), "Known: .*rim"),
        (lambda: replace(USER, seed=-1), "seed is -1"),
        (lambda: replace(USER, history_length=0), "history_length is 0"),
        (lambda: replace(USER, model=None, knowledge=None), "neither model nor knowledge"),
    ],
)
def test_what_cannot_run_is_refused_when_it_is_written(
    make: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.fixture
def tutors() -> Iterator[None]:
    """Teachers: `dumb` has no weights of its neighbours, `reader` reads histories too."""

    class Dumb(Backbone):
        needs = frozenset({"neighbours"})
        representation_dim, representation_blocks = 3, {}

        def aggregate(self, batch: Any, embedding: Any) -> Any:
            return embedding(batch.neighbours).mean((1, 2))

    class Reader(RIM):
        needs = frozenset({"neighbours", "history"})

    register_teacher("dumb", config=BackboneConfig)(Dumb)
    register_teacher("reader", config=RIMConfig)(Reader)
    yield
    MODELS.remove("dumb")
    MODELS.remove("reader")


@pytest.mark.usefixtures("tutors")
def test_a_teacher_that_cannot_give_what_construction_asks_for_is_refused() -> None:
    dumb, reader = ModelSpec.of("dumb"), ModelSpec.of("reader")
    with pytest.raises(ConfigError, match="positive is 'attn' and the teacher 'dumb' has no weigh"):
        KnowledgeSpec(teacher=dumb, construct=ConstructConfig(positive="attn"))
    with pytest.raises(ConfigError, match="pool_rows is 9 and the teacher 'reader' reads histor"):
        KnowledgeSpec(teacher=reader, construct=ConstructConfig(pool_rows=9))
    KnowledgeSpec(teacher=reader, construct=ConstructConfig(positive="attn"))
    KnowledgeSpec(teacher=dumb, construct=ConstructConfig(positive="random", pool_rows=9))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sead",), 1, "setting 'sead' is not known. Did you mean 'seed'"),
        (("training", "epoch"), 1, "'epoch' is not known. Did you mean 'epochs'"),
        (("knowledge", "construct", "alpha"), 2, "alpha is 2.0"),
        (("knowledge", "teacher", "name"), "mlp", "'mlp' aggregates no neighbours"),
        (("model", "config", "dropot"), 0.1, "Did you mean 'dropout'"),
        (("seed",), "0", "seed is '0'"),
    ],
)
def test_a_written_spec_that_does_not_fit_is_refused(
    path: tuple[str, ...], value: Any, message: str
) -> None:
    values = USER.to_dict()
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(ConfigError, match=message):
        RunSpec.from_dict(values)


@pytest.mark.parametrize("system", ["RIM", "MLP+ROK"])
def test_more_neighbours_than_the_pool_holds_are_refused_before_anything_is_written(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = settle(tmp_path, monkeypatch)
    message = "retrieval.k is 561; expected at most the 560 rows of the pool of 'small'"
    with pytest.raises(ConfigError, match=message):
        Runs()([spec("LR"), spec(system, k=561)])
    assert not runs.exists()
    assert len(Runs().plan([spec(system, k=560), spec("LR", k=561)])) > 1
    assert not runs.exists()


@pytest.mark.parametrize(
    ("k", "pool_rows", "message"),
    [
        (
            3,
            561,
            "construct.pool_rows is 561; expected at most the 560 rows of the pool of 'small'",
        ),
        (560, 1, "retrieval.k is 560; expected fewer than the 560 rows of the pool"),
    ],
)
def test_more_pool_rows_than_there_are_are_refused_before_anything_is_written(
    k: int, pool_rows: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = settle(tmp_path, monkeypatch)
    construct = ConstructConfig(pool_rows=pool_rows)
    one = spec("MLP+ROK", k=k)
    asked = replace(one, knowledge=replace(one.knowledge, construct=construct))
    with pytest.raises(ConfigError, match=message):
        Runs()([spec("LR"), asked])
    assert not runs.exists()


def test_an_unknown_data_set_or_option_is_refused_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = settle(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match=r"data set 'smal' is not known. Did you mean 'small'"):
        Runs()([spec("LR", dataset="smal")])
    with pytest.raises(ConfigError, match=r"'row' is not known. Did you mean 'rows'"):
        Runs()([spec("LR", data_options=("row=3",))])
    assert not runs.exists()


def test_the_samples_behind_a_spec_reach_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(tmp_path, monkeypatch)
    one, other, again = Runs().plan(
        [spec("LR"), spec("LR", data_options=("noise=0.2",)), spec("LR", 1)]
    )
    assert one.folder != other.folder
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert len(Runs().plan([spec("LR"), spec("LR", data_options=("noise=0.1",))])) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(spec("DERT"), retrieval=RetrievalSpec(k=3)),
        lambda: spec("DERT+ROK"),  # whose teacher, rim, reads those of BM25
        lambda: lineage(replace(spec("MLP+ROK", teacher="dert"), retrieval=RetrievalSpec(k=3))),
    ],
)
def test_a_model_of_a_dense_engine_is_not_run_on_other_neighbours(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match="'dert' reads the neighbours that a dense engine"):
        make()


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({}, "small"),
        ({"train_rows": 40, "users": 3}, "small"),
        ({"rows": 9, "noise": 0.5, "causal": True}, "small (causal=True, noise=0.5)"),
    ],
)
def test_a_title_tells_data_apart_that_options_make_different(
    options: dict[str, Any], title: str
) -> None:
    assert DataSpec.of("small", options).title == title
