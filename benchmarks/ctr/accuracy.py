"""Training to the end: each framework's own epochs, and early stopping that is the same for all.

After each epoch the validation rows are predicted; once the area under the curve has not grown for
some epochs, the test predictions of the best one count. Both metrics are ours, of all rows at once.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ctr.arrays import Arrays
from ctr.race import Entry, Reply, contender
from harness.contenders import Process
from rokkit.evaluation import auc, log_loss

PATIENCE, MOST = 2, 20  # epochs without a better one, and in all


def trained(entry: Entry, seed: int, folder: Path) -> dict[str, Any]:
    """Test "auc" and "log_loss", "epochs" and "cpu" seconds of steps, of one training.

    OutOfTheRace if the framework is missing something or fails.
    """
    arrays = Arrays.open(entry.arrays)
    out = folder / "predictions.npy"
    best, best_epoch, cpu = -1.0, 0, 0.0
    found: Reply = {}

    with Process(contender(entry.framework), folder / "log") as process:

        def predicted(part: str) -> Any:
            process.ask("predict", part=part, out=str(out))
            return np.load(out)

        case = asdict(replace(entry.case, seed=seed))
        process.ask("build", arrays=str(entry.arrays), folder=str(folder), case=case)
        for epoch in range(1, MOST + 1):
            cpu += process.ask("epoch")["cpu"]
            reached = auc(arrays.y("val"), predicted("val"))
            if reached > best:
                best, best_epoch, p = reached, epoch, predicted("test")
                y = arrays.y("test")
                found = {"auc": auc(y, p), "log_loss": log_loss(y, p)}
            if epoch - best_epoch >= PATIENCE:
                break
    return found | {"epochs": best_epoch, "val_auc": best, "cpu": cpu}
