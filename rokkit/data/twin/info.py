"""tmall's second file: age and gender of every user, with gaps."""

import numpy as np
import pyarrow as pa

from rokkit.data.twin.draws import stream
from rokkit.data.twin.lines import rate
from rokkit.data.twin.options import TwinOptions
from rokkit.data.twin.people import People
from rokkit.data.twin.text import RawIds


def info_columns(
    options: TwinOptions, people: People, ids: RawIds, block: int, first_user: int
) -> tuple[list[pa.Array], dict[str, int]]:
    """(the columns of a block's users, users hit by each kind of dirt)."""
    n = len(people.age)
    rng = stream(options.seed, "info", block)
    u, v = rng.random(n), rng.random(n)
    no_age = u < rate(options, "empty age")
    zero = (u > 1 - rate(options, "age 0")) & ~no_age
    no_gender = v < rate(options, "empty gender")
    two = (v > 1 - rate(options, "gender 2")) & ~no_gender
    age = np.where(zero, 0, people.age)
    gender = np.where(two, 2, people.gender)
    columns = [
        pa.array(ids.user(np.arange(first_user, first_user + n))),
        pa.array(age, mask=no_age),
        pa.array(gender, mask=no_gender),
    ]
    hits = {
        "empty age": int(no_age.sum()),
        "age 0": int(zero.sum()),
        "empty gender": int(no_gender.sum()),
        "gender 2": int(two.sum()),
    }
    return columns, hits
