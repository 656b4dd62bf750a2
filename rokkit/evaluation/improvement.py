"""The paper's two ways of writing an improvement, which it calls by one name."""

import math

from rokkit.errors import DataError


def rel_impr(auc: float, base_auc: float) -> float:
    """Rel. Impr. of Eq. 9, in per cent: by how much the AUC's distance from chance (.5) grows.

    This is the Rel. Impr. of Table 2. Raises DataError if the base is no better than chance.
    """
    _finite(auc, base_auc)
    if base_auc <= 0.5:
        raise DataError(
            f"base_auc is {base_auc}; expected more than 0.5, because Eq. 9 divides by the "
            "distance from chance. Use plain_impr."
        )
    return ((auc - 0.5) / (base_auc - 0.5) - 1) * 100


def plain_impr(new: float, old: float, *, lower_is_better: bool = False) -> float:
    """The plain change relative to `old`, in per cent, positive where `new` is better.

    This is what Tables 3 and 4 print as Rel. Impr. for AUC, although Eq. 9 defines another.
    With `lower_is_better` it is (old - new) / old, what Table 3 prints for log-loss (but for one
    cell: 20.50 % of DIEN on Tmall is old / new - 1; this definition gives 16.99 %).

    Raises DataError if `old` is not positive.
    """
    _finite(new, old)
    if old <= 0:
        raise DataError(f"old is {old}; expected a positive number to relate the change to.")
    change = (new / old - 1) * 100
    return -change if lower_is_better else change


def _finite(*values: float) -> None:
    if not all(map(math.isfinite, values)):
        raise DataError(f"an improvement of {values}; expected finite numbers.")
