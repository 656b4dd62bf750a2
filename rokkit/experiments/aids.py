"""What `AidSpec` does to a training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from rokkit.data.pair_statistics import pair_statistics
from rokkit.data.pool_statistics import pool_statistics
from rokkit.errors import ConfigError
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.spec import RunSpec
from rokkit.experiments.weights import load_model
from rokkit.knowledge import KnowledgeModel, knowledge_of, teacher_representations
from rokkit.models import AidedModel, CTRModel
from rokkit.training import CTRTask, Feed, predict
from rokkit.training.ctr import SoftTask

Trained = CTRModel | KnowledgeModel | AidedModel
LARGEST_Z = 2**30  # bytes of one part's z that are held


class Aid:
    """What a run's `aid` gives: numbers for the head, samples, targets; or nothing."""

    def __init__(self, spec: RunSpec, inputs: Inputs, parents: Sequence[Path]) -> None:
        """`parents` are the folders of the run's finished parents; the first is the teacher."""
        self.spec, self.inputs = spec.aid, inputs
        self._extra: dict[str, NDArray[np.float32] | None] = {}
        if inputs.samples.causal and self.kind == "pool":
            raise ConfigError(
                "aid.kind is 'pool' and the samples are causal: all rows before test are train "
                "samples already. Expected another aid, or none."
            )
        if self.spec is not None and self.spec.teacher is not None:
            held = load_model(parents[0], self.spec.teacher, inputs.samples)
            self.teacher = held.to(inputs.device)

    @property
    def kind(self) -> str | None:
        """The kind of aid, if there is one."""
        return None if self.spec is None else self.spec.kind

    def extra(self, part: str) -> NDArray[np.float32] | None:
        """[N, E]: further numbers of each sample of `part`, made once."""
        if part not in self._extra:
            self._extra[part] = self._made_extra(part)
        return self._extra[part]

    def _made_extra(self, part: str) -> NDArray[np.float32] | None:
        if self.kind == "stats":
            return pool_statistics(self.inputs.samples, part)
        if self.kind == "pairs":
            return pair_statistics(self.inputs.samples, part)
        if self.kind == "r":
            feed = self.inputs.feed(part, frozenset(self.teacher.needs))
            return teacher_representations(self.teacher, feed)
        return None

    def feed(
        self, part: str, needs: frozenset[str], extra: NDArray[np.float32] | None = None
    ) -> Feed:
        """The samples of `part`, and for training those of the pool if that is the aid.

        `extra` takes the place of what the aid gives.
        """
        rows = None
        if self.kind == "pool" and part == "train":
            rows = np.arange(len(self.inputs.samples.pool))
        extra = self.extra(part) if extra is None else extra
        return self.inputs.feed(part, needs, pool_rows=rows, extra=extra)

    def feed_of(self, model: Trained, part: str) -> Feed:
        """The same as `model` reads them.

        A base that is not trained is asked for z once, not in every epoch, if that can be held.
        """
        needs = frozenset(model.needs)
        if isinstance(model, KnowledgeModel) and model.z_stays and self.kind != "pool":
            size = 4 * len(self.inputs.samples.part(part)) * model.base.representation_dim
            if size <= LARGEST_Z:
                z = knowledge_of(model.base, self.inputs.feed(part, frozenset()))
                return self.feed(part, needs | {"extra"}, z)
        return self.feed(part, needs)

    def selects_on(self) -> str:
        """The part whose metric selects the weights."""
        return "test" if self.kind == "peek" else "val"

    def task(self, model: nn.Module, train: Feed, val: Feed) -> CTRTask:
        """What is minimised."""
        if self.spec is None or self.kind != "soft":
            return CTRTask(model, train, val)
        taught = self.inputs.feed("train", frozenset(self.teacher.needs))
        return SoftTask(model, train, val, predict(self.teacher, taught), self.spec.weight)
