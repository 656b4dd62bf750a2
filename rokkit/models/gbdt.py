"""GBDT: gradient-boosted decision trees (Friedman, Annals of Statistics 2001), by LightGBM.

Paper: "Greedy function approximation: A gradient boosting machine" (section not checked: the paper
was not at hand).
    ŷ = Σ_m η · tree_m(v)        v [N, F]: one number per field; ŷ [N]
v is the id itself (`encoding="ids"`), as this line of work most likely had it: ids follow the
sorted raw values, so a split separates a range of values, which says little where values are names.
With `encoding="target"`, our own variant, the system `gbdt-target`, v is the shrunken click rate of
the id's train samples and the logarithm of their number, [N, 2F]. A train sample's rate
leaves out the fold it is in, or it would contain its own label.

No embedding layer, so no knowledge base can be plugged in. Cost: rounds · N · F to train; leaves
are counted as parameters. Symbols: N samples; F fields.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.samples import Part
from rokkit.models.encodings import TargetEncoding
from rokkit.models.registry import register_estimator

Encoding = Literal["ids", "target"]
Progress = Callable[[int, int, dict[str, float]], None]  # (round, rounds at most, metrics of val)


@dataclass(frozen=True, kw_only=True)
class GBDTConfig:
    """Settings of GBDT. Raises ConfigError for a value outside its range."""

    rounds: int = 5000  # trees at most; ids take more than a thousand
    patience: int = 30  # rounds without a lower log-loss on validation data before it stops
    learning_rate: float = 0.05  # η
    leaves: int = 31  # of each tree, at most
    rows_in_leaf: int = 20  # at least
    encoding: Encoding = "ids"
    folds: int = 5  # of the target encoding
    prior_rows: float = 20.0  # weight of the overall rate in the rate of an id, in samples

    def __post_init__(self) -> None:
        for name in ("rounds", "patience", "rows_in_leaf"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("leaves", "folds"):
            require(getattr(self, name) >= 2, name, getattr(self, name), "at least 2")
        rate = self.learning_rate
        require(0 < rate <= 1, "learning_rate", rate, "above 0, at most 1")
        require(self.prior_rows >= 0, "prior_rows", self.prior_rows, "at least 0")
        known = get_args(Encoding)
        require(self.encoding in known, "encoding", self.encoding, f"one of {', '.join(known)}")


@dataclass(frozen=True, kw_only=True)
class TargetGBDTConfig(GBDTConfig):
    """Settings of GBDT on click rates and counts."""

    encoding: Encoding = "target"


@register_estimator("gbdt-target", config=TargetGBDTConfig, family="trees", paper="AoS'01")
@register_estimator("gbdt", config=GBDTConfig, family="trees", paper="AoS'01")
class GBDT:
    """Boosted trees on the ids of a sample, or on what train samples say of each id."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: GBDTConfig) -> None:
        self.config = config
        self.history: list[dict[str, float]] = []  # log-loss and AUC on val after each round
        self.best_round = 0
        self._booster: Any = None
        self._encoding: TargetEncoding | None = None

    def fit(
        self,
        train: Part,
        val: Part,
        *,
        seed: int = 0,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> None:
        """Grow trees on `train` until the log-loss on `val` falls no more; keep the best number.

        Equal inputs, seed and LightGBM give equal trees, whatever the number of threads.
        """
        import lightgbm  # here, as it takes a second to import

        config = self.config
        if config.encoding == "target":
            self._encoding = TargetEncoding(config.folds, config.prior_rows, seed)
        entered = train.x if not self._encoding else self._encoding.fit(train.x, train.y)

        def tell(state: Any) -> None:
            metrics = {name: value for _, name, value, _ in state.evaluation_result_list}
            row = {"auc": metrics["auc"], "log_loss": metrics["binary_logloss"]}
            self.history.append(row)
            if progress is not None:
                progress(state.iteration + 1, config.rounds, row)

        data = lightgbm.Dataset(entered, np.asarray(train.y), free_raw_data=False)
        judged = data.create_valid(self._entered(val.x), np.asarray(val.y))
        self._booster = lightgbm.train(
            {
                "objective": "binary",
                "metric": ["binary_logloss", "auc"],
                "learning_rate": config.learning_rate,
                "num_leaves": config.leaves,
                "min_data_in_leaf": config.rows_in_leaf,
                "num_threads": threads,
                "seed": seed,
                "deterministic": True,
                "force_row_wise": True,  # else it is timed which way is faster
                "verbosity": -1,
            },
            data,
            config.rounds,
            valid_sets=[judged],
            callbacks=[
                tell,
                lightgbm.early_stopping(config.patience, first_metric_only=True, verbose=False),
            ],
        )
        self.best_round = self._booster.best_iteration or len(self.history)

    def predict(self, x: NDArray[np.int32]) -> NDArray[np.float32]:
        """[N]: click probabilities of the rows `x` [N, F]."""
        entered = self._entered(x)
        return np.asarray(self._booster.predict(entered, num_iteration=self.best_round), np.float32)

    @property
    def leaves(self) -> int:
        """Leaves of all trees that are used."""
        trees = self._booster.dump_model(num_iteration=self.best_round)["tree_info"]
        return sum(int(tree["num_leaves"]) for tree in trees)

    def state(self) -> dict[str, NDArray[Any]]:
        """What `restore` takes: the trees as LightGBM writes them, and what the encoding holds."""
        text = str(self._booster.model_to_string(num_iteration=self.best_round))
        text = text.partition("\nparameters:")[0]  # without settings, which name the threads
        trees = np.frombuffer(text.encode(), np.uint8)
        return {"trees": trees} | ({} if self._encoding is None else self._encoding.state())

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become the model whose `state` it is; the settings have to be the same."""
        import lightgbm

        self._booster = lightgbm.Booster(model_str=state["trees"].tobytes().decode())
        self.best_round = self._booster.num_trees()
        if self.config.encoding == "target":
            self._encoding = TargetEncoding(self.config.folds, self.config.prior_rows, seed=0)
            self._encoding.restore(state)

    def _entered(self, x: NDArray[np.int32]) -> NDArray[Any]:
        return np.asarray(x) if self._encoding is None else self._encoding.encode(x)
