"""Which evaluation was the best, and whether to go on."""

from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Stops after `patience` evaluations in a row that did not beat the best."""

    monitor: str  # "auc" is better when higher; losses when lower
    patience: int
    best: float | None = None
    best_step: int = 0
    best_epoch: int = 0
    since_best: int = 0  # evaluations since the best one

    def update(self, value: float, *, step: int, epoch: int) -> bool:
        """Take in an evaluation; True if it is the best so far. A tie is not better."""
        better = self.best is None or (
            value > self.best if self.monitor == "auc" else value < self.best
        )
        if better:
            self.best, self.best_step, self.best_epoch, self.since_best = value, step, epoch, 0
        else:
            self.since_best += 1
        return better

    @property
    def exhausted(self) -> bool:
        """True once patience has run out."""
        return self.since_best >= self.patience
