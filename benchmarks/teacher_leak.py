"""How far a teacher gives away the labels it was trained on, by the σ its tables start from.

    python benchmarks/teacher_leak.py --params params/journey.yaml [--sigmas 0.01 0.1 1]

Train targets are not in the pool, but the teacher's tables were trained on their labels, and r is
made of rows of those tables. A logistic regression on r is fitted on train targets and, apart, on
validation targets, which no table was trained on; both are measured on test targets. If the one of
the larger part, train, is the worse, r says of train samples what it cannot say of others. The same
of z, which was learnt on train targets: there R² tells too how much closer to r it is. The last
column is what a user of the base makes of it. One seed, the first of the params file.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from harness.arguments import kept_in, parser
from harness.results import table
from harness.surroundings import called, described, load, surroundings
from rokkit import data
from rokkit.evaluation import auc
from rokkit.experiments import Report, Runs, Settings, system_spec
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.weights import load_base, load_model
from rokkit.files import write_text
from rokkit.knowledge import imitation_r2, teacher_representations
from rokkit.training.ctr import EVALUATION_ROWS

PARAMS, QUICK_PARAMS = Path("params/journey.yaml"), Path("params/smoke.yaml")
SIGMAS = (0.01, 0.1, 1.0)
HEADER = (
    "σ",
    "teacher",
    "r fitted on train",
    "r fitted on val",
    "R² on train",
    "R² on test",
    "z fitted on train",
    "z fitted on val",
    "user, +ROK",
)


def settings_with(params: Path, sigma: float) -> Settings:
    """The study, its teacher starting from `sigma`."""
    study = Settings.from_yaml(params)
    options = (*study.model_options, f"{study.teacher}.init_std={sigma}")
    return dataclasses.replace(study, model_options=options, seeds=study.seeds[:1])


@dataclasses.dataclass(frozen=True)
class Known:
    """What teacher and base say of the N samples of a part."""

    r: np.ndarray  # [N, R], standardised as the base was taught it
    z: np.ndarray  # [N, R]
    y: np.ndarray  # [N]

    @property
    def r2(self) -> float:
        """How far z is r."""
        return imitation_r2(torch.from_numpy(self.z), torch.from_numpy(self.r), {})["all"]


def known(teacher: Report, construction: Report) -> dict[str, Known]:
    """By part: train, val and test."""
    spec, knowledge = teacher.spec, construction.spec.knowledge
    assert spec.model is not None
    assert knowledge is not None
    samples = data.load(spec.data.name, **dict(spec.data.options))
    inputs = Inputs(spec, samples, "cpu")
    model = load_model(teacher.folder, spec.model, samples)
    base = load_base(construction.folder, knowledge, samples)
    found = {}
    for part in ("train", "val", "test"):
        feed = inputs.feed(part, frozenset({"neighbours"}))
        r = torch.from_numpy(teacher_representations(model, feed))
        with torch.no_grad():
            z = torch.cat([base(feed.batch(rows).x) for rows in feed.chunks(EVALUATION_ROWS)])
            found[part] = Known(base.standardised(r).numpy(), z.numpy(), feed.labels)
    return found


def fitted_auc(name: str, fit_on: Known, measured_on: Known) -> float:
    """AUC of a logistic regression on r or z, its inputs standardised."""
    scale = StandardScaler().fit(getattr(fit_on, name))
    model = LogisticRegression(C=0.1, max_iter=300)
    model.fit(scale.transform(getattr(fit_on, name)), fit_on.y)
    scores = model.decision_function(scale.transform(getattr(measured_on, name)))
    return auc(measured_on.y, scores)


def numbers(study: Settings, user: str) -> list[float]:
    """The columns of the table for one study."""
    seed = study.seeds[0]
    one = system_spec(f"{user}+ROK", study, seed)
    construction = one.construction
    assert construction is not None
    # ROK's teacher, whose settings may be others than those of the teacher as a system.
    reports = Runs(device="cpu")([construction.parents()[0], construction, one])
    part = known(*reports[:2])
    fitted = {
        (name, on): fitted_auc(name, part[on], part["test"])
        for name in ("r", "z")
        for on in ("train", "val")
    }
    return [
        reports[0].metrics["test"]["auc"],
        fitted["r", "train"],
        fitted["r", "val"],
        part["train"].r2,
        part["test"].r2,
        fitted["z", "train"],
        fitted["z", "val"],
        reports[2].metrics["test"]["auc"],
    ]


def main() -> None:
    """A line per σ."""
    start = load()
    made = parser(__doc__)
    made.add_argument("--params", type=Path, help=f"study (default: {PARAMS})")
    made.add_argument("--sigmas", type=float, nargs="+", help=f"default: {SIGMAS}")
    made.add_argument("--user", default="MLP", help="backbone that uses the base")
    asked = made.parse_args()
    params = asked.params or (QUICK_PARAMS if asked.quick else PARAMS)
    rows = []
    for sigma in asked.sigmas or (SIGMAS[:1] if asked.quick else SIGMAS):
        found = numbers(settings_with(params, sigma), asked.user)
        rows.append((f"{sigma:g}", *(f"{one:.4f}" for one in found)))
    about = surroundings(called(), ("rokkit", "torch", "numpy", "scikit-learn"))
    text = f"{table(HEADER, rows)}\n\n{described(about, (start, load()))}\n"
    print(text, end="")
    folder = kept_in(asked)
    if folder is not None:
        write_text(folder / "teacher_leak.md", text)


if __name__ == "__main__":
    main()
