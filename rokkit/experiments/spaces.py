"""Figures 4 and 7: the samples in the space of r (the teacher's) and of z (the base's).

A layout by t-SNE is a picture, so that numbers of the spaces themselves stand beside it: how far
labels are apart in them, and how well train and test samples mix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.sampling import stream
from rokkit.experiments.grouping import samples_of
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.reading import Reading
from rokkit.experiments.report import Report
from rokkit.experiments.spec import hash_of
from rokkit.experiments.tables import Table
from rokkit.experiments.weights import load_base, load_model
from rokkit.files import load_array, read_json, save_array, write_json
from rokkit.training.ctr import EVALUATION_ROWS

NEAREST = 10  # neighbours that purity and mixing look at
SILHOUETTES = 5000  # samples whose silhouettes are averaged: each is compared with all of them
PERPLEXITY = 30.0  # openTSNE's default
NEIGHBOURS = "exact"  # by products of matrices, in half the time of its approximate search


@dataclass(frozen=True, eq=False)
class Spaces:
    """The same samples by their r and by their z, both [M, R], and what they are."""

    vectors: Mapping[str, NDArray[np.float32]]  # "r" and "z"
    labels: NDArray[np.int8]  # [M]
    test: NDArray[np.bool_]  # [M]: a test sample; the others are train samples
    key: str  # of the construction
    place: Report  # the construction, beside whose folder layouts are kept


def spaces(construction: Report, parents: Sequence[Report], points: int = 10_000) -> Spaces:
    """r and z of `points` train and as many test samples, drawn at random (all, if fewer).

    r is standardised as the base was taught it, so that both lie in one space. `parents` are the
    finished `construction.spec.parents()`: the teacher, and the encoder of a dense one.
    """
    require(points >= NEAREST, "points", points, f"at least {NEAREST}")
    knowledge = construction.spec.knowledge
    assert knowledge is not None
    samples = samples_of(construction.spec.data)
    encoder = None if construction.spec.encoder is None else parents[-1].folder
    inputs = Inputs(construction.spec, samples, "cpu", encoder)
    model = load_model(parents[0].folder, knowledge.teacher, samples)
    base = load_base(construction.folder, knowledge, samples)
    held: dict[str, list[NDArray[np.float32]]] = {"r": [], "z": []}
    labels, sizes = [], []
    with torch.no_grad():
        for part in ("train", "test"):
            feed = inputs.feed(part, frozenset(model.needs))
            generator = stream(construction.spec.seed, f"points of {part}")
            kept = np.sort(generator.permutation(len(feed))[:points])
            for start in range(0, len(kept), EVALUATION_ROWS):
                batch = feed.batch(torch.from_numpy(kept[start : start + EVALUATION_ROWS]))
                r = base.standardised(model.aggregate(batch))
                held["r"].append(r.float().numpy())
                held["z"].append(base(batch.x).float().numpy())
            labels.append(feed.labels[kept])
            sizes.append(len(kept))
    return Spaces(
        vectors={name: np.concatenate(blocks) for name, blocks in held.items()},
        labels=np.concatenate(labels),
        test=np.repeat([False, True], sizes),
        key=construction.key,
        place=construction,
    )


def layouts(found: Spaces) -> pd.DataFrame:
    """t-SNE of both spaces, tidy: space, x, y, part, label. Kept, so that it is made once."""
    import openTSNE  # here: it takes a second that most uses of this package need not wait

    frames = []
    for name, vectors in found.vectors.items():
        covers = [found.key, name, len(vectors), PERPLEXITY, NEIGHBOURS, openTSNE.__version__]
        folder = found.place.folder.parent / f"tsne-{name}-{hash_of(covers)[:12]}"
        path = folder / "layout.npy"
        if not path.exists():
            fit = openTSNE.TSNE(
                perplexity=min(PERPLEXITY, (len(vectors) - 1) / 3),
                neighbors=NEIGHBOURS,
                random_state=0,
                n_jobs=1,
            )
            save_array(path, np.asarray(fit.fit(vectors), np.float32))
        xy = load_array(path)
        part = np.where(found.test, "test", "train")
        columns = {"space": name, "x": xy[:, 0], "y": xy[:, 1], "part": part, "label": found.labels}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def spaces_table(found: Spaces) -> Table:
    """A row per space: silhouette of the labels, purity and mixing of the nearest samples."""
    rows = [{"Space": name, **measures(v, found)} for name, v in found.vectors.items()]
    chance = {"Space": "chance", "Silhouette": 0.0, "Purity": _chance(found.labels), "Mixing": 1.0}
    return Table(
        frame=pd.DataFrame([*rows, chance]),
        caption="The spaces of r (teacher) and z (knowledge base), by their own distances.",
        formats=dict.fromkeys(("Silhouette", "Purity", "Mixing"), "{:.3f}"),
        notes=(
            f"{(~found.test).sum():,} train and {found.test.sum():,} test samples. Silhouette: of "
            "the labels, 1 where they are far apart, 0 where they overlap. Purity: share of a "
            f"sample's {NEAREST} nearest that have its label. Mixing: share of them that are of "
            "the other part, train or test, over what it would be at random.",
        ),
    )


def kept_measures(
    construction: Report, parents: Sequence[Report], points: int
) -> dict[str, dict[str, float]]:
    """`measures` of r and of z, by name; kept, so that they are taken once."""
    covers = [construction.key, points, NEAREST, SILHOUETTES]
    place = construction.folder.parent / f"spaces-{hash_of(covers)[:12]}" / "measures.json"
    if not place.exists():
        found = spaces(construction, parents, points)
        write_json(place, {name: measures(v, found) for name, v in found.vectors.items()})
    kept: dict[str, dict[str, float]] = read_json(place)
    return kept


def spaces_reading(table: Table) -> Reading:
    """What the numbers of `spaces_table` say of z beside r."""
    by_space = table.frame.set_index("Space")
    lines = []
    for column, above in (("Purity", _chance_word), ("Mixing", None)):
        r, z = (float(by_space.at[space, column]) for space in ("r", "z"))
        chance = float(by_space.at["chance", column])
        lines.append(
            f"{column}: r {r:.3f}, z {z:.3f}; {chance:.3f} by chance."
            + (above(r, z, chance) if above else "")
        )
    return Reading(tuple(lines))


def _chance_word(r: float, z: float, chance: float) -> str:
    """How much of r's distance from chance z keeps."""
    if r <= chance:
        return " r itself does not set the labels apart."
    return f" z keeps {(z - chance) / (r - chance):.0%} of what r has above chance."


def measures(vectors: NDArray[np.float32], found: Spaces) -> dict[str, float]:
    """Silhouette, purity and mixing of [M, R] vectors, by Euclidean distance."""
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=NEAREST).fit(vectors)
    nearest = index.kneighbors(return_distance=False)  # of the samples themselves, without them
    same = found.labels[nearest] == found.labels[:, None]
    other = found.test[nearest] != found.test[:, None]
    sizes = np.array([(~found.test).sum(), found.test.sum()])
    expected = np.where(found.test, sizes[0], sizes[1]).mean() / (len(vectors) - 1)
    size = min(SILHOUETTES, len(vectors))
    return {
        "Silhouette": float(
            silhouette_score(vectors, found.labels, sample_size=size, random_state=0)
        ),
        "Purity": float(same.mean()),
        "Mixing": float(other.mean() / expected),
    }


def _chance(labels: NDArray[np.int8]) -> float:
    """Purity where neighbours say nothing."""
    share = float(labels.mean())
    return share**2 + (1 - share) ** 2
