"""Ours: `create_model`, `Feed` and `fit`; for inference also exported, compiled and with RIM.

LR has embeddings of one number here, so that it learns one weight per id as everyone's does.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctr.arrays import Arrays
from ctr.frameworks import (
    ATTENTION,
    ATTENTION_DIM,
    EMBEDDING,
    HEADS,
    HIDDEN,
    SHORT,
    TOP,
    Case,
    Stage,
)

ITEM = ("item", "genre")
SEARCHED = ("user", "item", "genre", "city", "device")  # by RIM
FEW = 512  # rows that `fit` evaluates after an epoch, which it always does
FOREVER = 10**9
SPREAD = 1e-4  # of the id table's first values, as three of the peers have it


class Ours:
    """One model, its samples and a training that goes on an epoch at a time."""

    package = "rokkit"

    def load(self) -> None:
        """What a user imports."""
        import rokkit.models
        import rokkit.training

        self.rokkit = rokkit

    def build(self, arrays: Arrays, case: Case, folder: Path) -> None:
        """The model and its feeds; the training begins with the first epoch."""
        self.arrays, self.case = arrays, case
        self.samples = samples_of(arrays)
        training = self.rokkit.training
        training.seed_everything(case.seed)
        if case.model in ("lr", *SETTINGS) and case.form == "eager":
            self.model = make_model(case, self.samples.schema)
            needs = self.model.needs
            self.feed = training.Feed(self.samples, "train", needs=needs)
            self.task = training.CTRTask(
                self.model, self.feed, training.Feed(self.samples, "pool", needs=needs)
            )
            self.paced = Paced(self._train)
        self.test_rows = arrays.parts["test"]
        self.bytes: dict[str, int] = {}
        self.folder = folder

    def _train(self, epoch_done: Callable[[], None]) -> None:
        case, training = self.case, self.rokkit.training
        config = training.TrainConfig(
            epochs=FOREVER,
            patience=FOREVER,
            monitor="loss",
            batch_size=case.batch,
            learning_rate=case.learning_rate,
            optimizer=case.optimizer or "lazy-adam",
            amp=case.amp,
        )
        steps = len(self.feed) // case.batch + (len(self.feed) % case.batch > 1)

        def progress(step: int, *_: Any) -> None:
            if step % steps == 0:
                epoch_done()

        training.fit(self.task, len(self.feed), config, seed=case.seed, progress=progress)

    def epoch(self) -> None:
        """One epoch of `fit`."""
        self.paced.go_on()

    def predict(self, part: str) -> NDArray[np.floating[Any]]:
        """By `predict`."""
        feed = self.rokkit.training.Feed(self.samples, part, needs=self.model.needs)
        found: NDArray[np.floating[Any]] = self.rokkit.training.predict(self.model, feed)
        return found

    def stages(self) -> list[Stage]:
        """Rows of the feed as a batch; forward. For RIM a search before."""
        from ctr.frameworks.our_forms import stages

        return stages(self)


class Paced:
    """Work that is let go on bit by bit: it runs in a thread and waits at the end of each part.

    So `fit` runs as it is, its optimizer with all its state, while others have their turns.
    """

    def __init__(self, work: Callable[[Callable[[], None]], None]) -> None:
        """`work` is given what it has to call at the end of each part."""
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._wrong: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)

    def go_on(self) -> None:
        """Let it do its next part, and wait; raises what it raised."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._done.acquire()
        if self._wrong is not None:
            raise self._wrong

    def _run(self, work: Callable[[Callable[[], None]], None]) -> None:
        try:
            work(self._pause)
        except BaseException as error:  # the asker hears of it
            self._wrong = error
        self._done.release()

    def _pause(self) -> None:
        self._done.release()
        self._go.acquire()


SETTINGS: dict[str, dict[str, Any]] = {
    "deepfm": {"hidden": HIDDEN},
    "din": {"hidden": HIDDEN, "attention_hidden": ATTENTION},
    "dien": {"hidden": HIDDEN},
    "sim": {
        "hidden": HIDDEN,
        "search": "soft",
        "attention": "projected",
        "heads": HEADS,
        "attention_dim": ATTENTION_DIM,
        "short": SHORT,
        "hard_top": TOP,
        "soft_top": TOP,
    },
}
# Of SIM, which do other work than the peer's.
UNIT = {"attention": "unit", "attention_hidden": ATTENTION}
VARIANTS: dict[str, dict[str, Any]] = {"": {}, "unit": UNIT, "hard": UNIT | {"search": "hard"}}


def make_model(case: Case, schema: Any) -> Any:
    """The model of a case, with fresh weights."""
    from rokkit.models import create_model

    if case.model == "lr":
        return create_model("lr", schema, embed_dim=1, init_std=SPREAD)
    own = SETTINGS[case.model] | VARIANTS[case.variant]
    return create_model(case.model, schema, embed_dim=EMBEDDING, init_std=SPREAD, **own)


def samples_of(arrays: Arrays) -> Any:
    """The arrays as `rokkit` holds a data set: global ids, histories once per user."""
    from rokkit.data.samples import History, Part, Samples
    from rokkit.data.schema import Field, Schema

    fields, offset = [], 1
    for name, size in arrays.sizes.items():
        role = "user" if name == "user" else "item" if name in ITEM else "context"
        fields.append(Field(name=name, role=role, offset=offset, size=size))
        offset += size
    schema = Schema(name="made", fields=tuple(fields), retrieval=SEARCHED)
    shift = np.array([f.offset - 1 for f in fields], np.int32)

    def part(name: str) -> Part:
        x = arrays.x(name) + shift
        return Part(x, arrays.y(name), np.arange(len(x)))

    train = part("train")
    few = Part(train.x[:FEW], train.y[:FEW], train.time[:FEW])
    offsets, items = arrays.user_histories
    if len(offsets) == 1:  # made without histories
        offsets = np.zeros(arrays.sizes["user"] + 1, np.int64)
    tuples = np.column_stack([items, arrays.genre_of[items]]) + shift[list(schema.item_columns)]
    history = History(offsets, tuples.astype(np.int32))
    return Samples(schema, few, train, part("val"), part("test"), history, {}, "made", Path())
