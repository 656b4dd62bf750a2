"""A run is a value: what it depends on, hashed to the name of its folder.

Four kinds of run, told apart by three fields of `RunSpec`:

    model alone             a backbone or a teacher by itself          (Tables 2 and 3, plain rows)
    no model, knowledge     the construction of a knowledge base       (§4.3)
    model and knowledge     a backbone that uses a knowledge base      (§4.4, the ROK rows)
    model and aid           a backbone given something else            (RIM(LR), Table 4; controls)

A run with knowledge has the construction as its parent, and a construction has its teacher, as has
an aid that needs one. The
key is a Merkle hash: it covers what the run itself uses and its parents' keys. What a run does not
use (the neighbours of a model that reads none, the history length of a model without histories)
is left out, so that specs which would do the same work share one folder.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from rokkit.config import build, check_type, require
from rokkit.errors import ConfigError, unknown_name
from rokkit.experiments.foreign import foreign_sources
from rokkit.knowledge import ConstructConfig, KnowledgeBaseConfig, UseConfig
from rokkit.models import is_dense, is_estimator, list_teachers, model_entry
from rokkit.training import TrainConfig

FORMAT = 1  # raised when the code changes what a spec yields: every key changes with it
KEY_LENGTH = 12  # hex digits of the key in a folder's name

# Settings that came after FORMAT 1, each with the value at which a run is what it was without them.
# A key leaves them out at that value, so that earlier runs keep theirs. It is this value that
# counts, not the default: where a default changes, keys change.
LATER: dict[type, dict[str, Any]] = {
    KnowledgeBaseConfig: {"encoder": "mlp"},
    ConstructConfig: {"pool_rows": 0},
    TrainConfig: {"compile": False},
}
LATER_OF_MODELS: dict[str, dict[str, Any]] = {
    "fate": {"graph": "sample"},
    "sim": {"attention": "unit", "heads": 4, "attention_dim": 64},
    "ubr": {"turns": 0},
}

Scalar = str | int | float | bool | None
Value = Scalar | tuple[Scalar, ...]
Pairs = tuple[tuple[str, Value], ...]


SIZES = ("users", "rows", "train_rows", "val_rows", "test_rows")  # options of how much there is


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """A data set by name, with the options of its source."""

    name: str
    options: Pairs = ()  # sorted; those not given are the source's defaults

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any] | None = None) -> "DataSpec":
        """From a plain mapping of options."""
        return cls(name=name, options=as_pairs(options or {}, where=f"data {name!r}"))

    @property
    def title(self) -> str:
        """For a caption: the name, and the options that are no mere sizes."""
        chosen = ", ".join(f"{k}={value}" for k, value in self.options if k not in SIZES)
        return f"{self.name} ({chosen})" if chosen else self.name


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A registered backbone or teacher and those of its settings that are not the default."""

    name: str
    config: Pairs = ()  # sorted

    def __post_init__(self) -> None:
        self.resolved()

    @classmethod
    def of(cls, name: str, config: Mapping[str, Any] | None = None) -> "ModelSpec":
        """From a plain mapping of settings."""
        return cls(name=name, config=as_pairs(config or {}, where=f"model {name!r}"))

    def resolved(self) -> dict[str, Any]:
        """All settings, defaults included; ConfigError for an unknown name or setting."""
        return dataclasses.asdict(self._built())

    @property
    def needs(self) -> frozenset[str]:
        """What the model reads besides x with these settings, by the names `Batch` has for it."""
        target = model_entry(self.name).target
        if is_estimator(self.name):
            return frozenset(target.needs)
        return frozenset(target.needs_of(self._built()))

    def _built(self) -> Any:
        config_class = model_entry(self.name).meta["config"]
        return build(config_class, dict(self.config), where=f"model {self.name!r}")


Engine = Literal["bm25", "dense", "approximate"]


@dataclass(frozen=True, kw_only=True)
class RetrievalSpec:
    """Which neighbours a run sees.

    Dense engines search by the id table of an encoder, which is a run of its own, a parent of each
    run that reads the neighbours; its own neighbours are those of BM25.
    """

    k: int = 10  # neighbours of each sample
    fields: tuple[str, ...] = ()  # matched fields; () = the schema's
    engine: Engine = "bm25"
    encoder: ModelSpec | None = None  # of a dense engine
    encoder_training: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        engines = get_args(Engine)
        require(self.k >= 1, "retrieval.k", self.k, "at least 1")
        require(
            self.engine in engines, "retrieval.engine", self.engine, f"one of {', '.join(engines)}"
        )
        if (self.encoder is None) != (self.engine == "bm25"):
            raise ConfigError(
                f"retrieval.engine is {self.engine!r} and the encoder "
                f"{self.encoder.name if self.encoder else None!r}; expected one with 'dense' and "
                "'approximate', such as rim, and none with 'bm25'."
            )

    @property
    def unused(self) -> frozenset[str]:
        """What a key need not cover; an encoder is covered as a parent."""
        encoder = {"encoder", "encoder_training"}
        return frozenset(encoder | {"engine"} if self.engine == "bm25" else encoder)


@dataclass(frozen=True, kw_only=True)
class KnowledgeSpec:
    """How a knowledge base is made, and how a backbone uses it."""

    teacher: ModelSpec
    teacher_training: TrainConfig = field(default_factory=TrainConfig)
    base: KnowledgeBaseConfig = field(default_factory=KnowledgeBaseConfig)
    construct: ConstructConfig = field(default_factory=ConstructConfig)
    construct_training: TrainConfig = field(default_factory=TrainConfig)
    use: UseConfig = field(default_factory=UseConfig)

    def __post_init__(self) -> None:
        if self.teacher.name not in list_teachers():
            raise ConfigError(
                f"{self.teacher.name!r} aggregates no neighbours, so nothing can imitate it: "
                + unknown_name("teacher", self.teacher.name, list_teachers())
            )
        if self.construct.positive == "attn" and not hasattr(
            model_entry(self.teacher.name).target, "attention_weights"
        ):
            raise ConfigError(
                f"construct.positive is 'attn' and the teacher {self.teacher.name!r} has no "
                "weights of its neighbours; take another positive or a teacher such as rim."
            )
        if self.construct.pool_rows and self.teacher.needs - {"neighbours"}:
            raise ConfigError(
                f"construct.pool_rows is {self.construct.pool_rows} and the teacher "
                f"{self.teacher.name!r} reads histories, which are made of the pool and would hold "
                "the rows themselves; expected 0, or a teacher that reads neighbours alone."
            )


Kind = Literal["r", "soft", "pool", "stats", "pairs", "peek"]
COUNTED = ("stats", "pairs")  # the kinds of aid that are counts of the pool
TAUGHT = ("r", "soft")  # the kinds of aid that have a teacher


@dataclass(frozen=True, kw_only=True)
class AidSpec:
    """What a backbone is given in place of a knowledge base.

        r       the teacher's r itself joins the head's input, so that every sample is searched for
                (RIM(LR) and RIM(MLP) of Table 4, §5.4)
        soft    a teacher's probabilities are mixed with the train labels, at `weight`
        pool    the rows of the pool, which are labelled, are train samples too
        stats   counts and click rates of the sample's ids in the pool join the head's input
        pairs   so do counts of the user's own rows in the pool that share an item field's value
        peek    the weights are selected on test data, as public code of this line does

    soft, pool, stats and pairs are controls that the paper lacks: they use the same data without
    ROK. peek measures a habit; nothing else in rokkit selects on test data.
    """

    kind: Kind
    teacher: ModelSpec | None = None
    teacher_training: TrainConfig = field(default_factory=TrainConfig)
    weight: float = 0.5  # of the teacher's probabilities

    def __post_init__(self) -> None:
        kinds = get_args(Kind)
        require(self.kind in kinds, "aid.kind", self.kind, f"one of {', '.join(kinds)}")
        require(0 <= self.weight <= 1, "aid.weight", self.weight, "from 0 to 1")
        if (self.teacher is not None) != (self.kind in TAUGHT):
            raise ConfigError(
                f"aid.kind is {self.kind!r} and the teacher "
                f"{self.teacher.name if self.teacher else None!r}; expected a teacher with "
                f"{' and '.join(map(repr, TAUGHT))}, and none otherwise."
            )
        if self.kind == "r" and self.teacher and self.teacher.name not in list_teachers():
            raise ConfigError(
                f"{self.teacher.name!r} aggregates no neighbours, so it has no r: "
                + unknown_name("teacher", self.teacher.name, list_teachers())
            )


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that one run depends on."""

    data: DataSpec
    model: ModelSpec | None  # None: the run constructs the knowledge base itself
    retrieval: RetrievalSpec = field(default_factory=RetrievalSpec)
    history_length: int = 50  # behaviours kept, the newest
    training: TrainConfig = field(default_factory=TrainConfig)  # of the model
    knowledge: KnowledgeSpec | None = None
    aid: AidSpec | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.history_length >= 1, "history_length", self.history_length, "at least 1")
        require(self.seed >= 0, "seed", self.seed, "at least 0")
        if self.model is None and self.knowledge is None:
            raise ConfigError("a RunSpec has neither model nor knowledge; give at least one.")
        if self.aid is not None:
            self._check_aid(self.aid)
        reader = self.model or (self.knowledge and self.knowledge.teacher)
        if reader and is_dense(reader.name) and self.retrieval.engine == "bm25":
            raise ConfigError(
                f"{reader.name!r} reads the neighbours that a dense engine finds with a trained "
                "table, and retrieval.engine is 'bm25'; expected 'dense' or 'approximate' with an "
                "encoder such as rim (with a knowledge base: a teacher that reads them too)."
            )
        if self.knowledge is not None and self.model and is_estimator(self.model.name):
            raise ConfigError(
                f"{self.model.name!r} has no embedding layer, so it cannot use a knowledge base; "
                "take a backbone such as din, or leave the knowledge out."
            )

    def _check_aid(self, aid: AidSpec) -> None:
        """ConfigError for an aid that this run cannot take."""
        if self.model is None or self.knowledge is not None:
            raise ConfigError("an aid is for a model without a knowledge base; give either.")
        if is_estimator(self.model.name):
            raise ConfigError(
                f"{self.model.name!r} is no network, so it cannot be given an aid; take a backbone."
            )
        if aid.kind == "pool" and self.model.needs - {"neighbours"}:
            raise ConfigError(
                f"aid.kind is 'pool' and the model {self.model.name!r} reads histories, which are "
                "made of the pool and would hold the rows themselves; take a model that reads none."
            )

    @property
    def label(self) -> str:
        """Short name, fit for a folder: `din-s0`, `knowledge-rim-s0`, `din+rok-s0`."""
        return f"{self.system}-s{self.seed}"

    @property
    def system(self) -> str:
        """The label without the seed. A teacher other than the paper's is named: `din+rok-pet`."""
        given = self.knowledge or self.aid
        teacher = given.teacher.name if given and given.teacher else ""
        if self.model is None:
            return f"knowledge-{teacher}"
        if given is None:
            return self.model.name
        named = "" if teacher in ("", "rim") else f"-{teacher}"
        return f"{self.model.name}+{'rok' if self.aid is None else self.aid.kind}{named}"

    @property
    def needs(self) -> frozenset[str]:
        """What the run's own module reads besides x."""
        if self.model is None:
            assert self.knowledge is not None
            return self.knowledge.teacher.needs | {"neighbours"}
        if self.aid is not None and self.aid.kind == "r":
            assert self.aid.teacher is not None
            return self.model.needs | self.aid.teacher.needs
        return self.model.needs

    @property
    def compiles(self) -> bool:
        """Whether the run's own training goes through torch.compile."""
        if self.model is None:
            return self.knowledge is not None and self.knowledge.construct_training.compile
        return self.training.compile and not is_estimator(self.model.name)

    @property
    def learns_from_pool(self) -> bool:
        """Whether the rows of the pool are train samples too."""
        return self.aid is not None and self.aid.kind == "pool"

    @property
    def needs_extra(self) -> bool:
        """Whether the model's head is given further numbers of each sample."""
        return self.aid is not None and self.aid.kind in ("r", *COUNTED)

    def parents(self) -> tuple["RunSpec", ...]:
        """The runs whose weights this one needs; the encoder of its neighbours is the last."""
        first = self.construction or self.teacher
        return tuple(one for one in (first, self.encoder) if one is not None)

    @property
    def construction(self) -> "RunSpec | None":
        """The run that makes the knowledge base which this one uses, if it uses one."""
        if self.model is None or self.knowledge is None:
            return None
        return replace(self, model=None)

    @property
    def teacher(self) -> "RunSpec | None":
        """The run of the teacher that this one, or its knowledge base, learns from, if any."""
        given = self.knowledge or self.aid
        if given is None or given.teacher is None:
            return None
        return replace(
            self,
            model=given.teacher,
            training=given.teacher_training,
            knowledge=None,
            aid=None,
        )

    @property
    def encoder(self) -> "RunSpec | None":
        """The run by whose table the neighbours that this one reads are found, if there is one."""
        held = self.retrieval
        if held.encoder is None or "neighbours" not in self.needs:
            return None
        return replace(
            self,
            model=held.encoder,
            retrieval=RetrievalSpec(k=held.k, fields=held.fields),
            training=held.encoder_training,
            knowledge=None,
            aid=None,
        )

    def resolved(self, fingerprint: str) -> dict[str, Any]:
        """What the key covers, JSON-ready: each setting that the run uses, defaults filled in.

        `fingerprint` is that of the samples; it covers the data options.
        """
        knowledge = self.knowledge
        own: dict[str, Any] = {
            "format": FORMAT,
            "data": {"name": self.data.name, "fingerprint": fingerprint},
            "seed": self.seed,
            "parents": [parent.key(fingerprint) for parent in self.parents()],
        }
        if "neighbours" in self.needs:
            own["retrieval"] = _covered(self.retrieval)
        if self.needs & {"history", "history_negatives"}:
            own["history_length"] = self.history_length
        if self.model is None:
            assert knowledge is not None
            own["base"] = _covered(knowledge.base)
            own["construct"] = _covered(knowledge.construct)
            own["training"] = _covered(knowledge.construct_training)
        else:
            later = LATER_OF_MODELS.get(self.model.name, {})
            config = _without(self.model.resolved(), later)
            own["model"] = {"name": self.model.name, "config": config}
            own["code"] = _foreign_code(self.model.name)
            if not is_estimator(self.model.name):  # its own settings say how it is fitted
                own["training"] = _covered(self.training)
            if knowledge is not None:
                own["use"] = dataclasses.asdict(knowledge.use)
            if self.aid is not None:  # its teacher is a parent
                own["aid"] = {"kind": self.aid.kind}
                own["aid"] |= {"weight": self.aid.weight} if self.aid.kind == "soft" else {}
        return own

    def key(self, fingerprint: str) -> str:
        """sha256, hex, over the canonical JSON of `resolved`."""
        return hash_of(self.resolved(fingerprint))

    def folder(self, root: Path, key: str) -> Path:
        """Where the run, whose key is `key`, lies below `root`."""
        return root / self.data.name / f"{self.label}-{key[:KEY_LENGTH]}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        values = dataclasses.asdict(self)
        values["data"]["options"] = dict(self.data.options)
        if self.model is not None:
            values["model"]["config"] = dict(self.model.config)
        if self.knowledge is not None:
            values["knowledge"]["teacher"]["config"] = dict(self.knowledge.teacher.config)
        if self.aid is not None and self.aid.teacher is not None:
            values["aid"]["teacher"]["config"] = dict(self.aid.teacher.config)
        if self.retrieval.encoder is not None:
            values["retrieval"]["encoder"]["config"] = dict(self.retrieval.encoder.config)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunSpec":
        """The inverse of `to_dict`; ConfigError for a key or a value that does not fit."""
        ready = dict(values)
        data = dict(ready.get("data") or {})
        data["options"] = as_pairs(data.get("options", {}), where="spec: data")
        ready["data"] = build(DataSpec, data, where="spec: data")
        if ready.get("model") is not None:
            ready["model"] = _model_from(ready["model"], "spec: model")
        retrieval = dict(ready.get("retrieval") or {})
        if retrieval.get("encoder") is not None:
            retrieval["encoder"] = _model_from(retrieval["encoder"], "spec: encoder")
            ready["retrieval"] = build(RetrievalSpec, retrieval, where="spec: retrieval")
        if ready.get("knowledge") is not None:
            knowledge = dict(ready["knowledge"])
            knowledge["teacher"] = _model_from(knowledge.get("teacher") or {}, "spec: teacher")
            ready["knowledge"] = build(KnowledgeSpec, knowledge, where="spec: knowledge")
        if ready.get("aid") is not None:
            aid = dict(ready["aid"])
            if aid.get("teacher") is not None:
                aid["teacher"] = _model_from(aid["teacher"], "spec: aid")
            ready["aid"] = build(AidSpec, aid, where="spec: aid")
        return build(cls, ready, where="spec")


def as_pairs(values: Mapping[str, Any], *, where: str) -> Pairs:
    """Sorted pairs, lists as tuples; ConfigError for a value that JSON could not hold."""
    return tuple(
        (str(name), check_type(values[name], Value, where=f"{where}: {name}"))
        for name in sorted(values)
    )


def hash_of(value: Any) -> str:
    """sha256, hex, of the canonical JSON of `value`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _covered(settings: Any) -> dict[str, Any]:
    """What a key covers of `settings`: what is in use, but for LATER ones at their value."""
    unused: frozenset[str] = getattr(settings, "unused", frozenset())
    held = _without(dataclasses.asdict(settings), LATER.get(type(settings), {}))
    return {name: value for name, value in held.items() if name not in unused}


def _without(settings: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` but for those of `later` that are at its values."""
    return {
        name: value
        for name, value in settings.items()
        if not (name in later and value == later[name])
    }


def _model_from(values: Mapping[str, Any], where: str) -> ModelSpec:
    config = as_pairs(values.get("config", {}), where=where)
    return build(ModelSpec, dict(values) | {"config": config}, where=where)


def _foreign_code(name: str) -> str | None:
    """Hash of the source of a model defined outside rokkit, such as in a notebook cell.

    rokkit's own code is covered by FORMAT; without this an edited cell would hit the old run.
    """
    texts = foreign_sources(name)
    return hash_of(texts) if texts else None
