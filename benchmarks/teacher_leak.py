"""How far a teacher gives away the labels it was trained on, by the σ its tables start from.

    python benchmarks/teacher_leak.py --params params/journey.yaml [--sigmas 0.01 0.1 1]

Train targets are not in the pool, but the teacher's tables were trained on their labels, and r is
made of rows of those tables. A logistic regression on r is fitted on train targets and, apart, on
validation targets, which no table was trained on; both are measured on test targets. If the one of
the larger part, train, is the worse, r says of train samples what it cannot say of others. The last
column is what a user of the base makes of it. One seed, the first of the params file.
"""

import dataclasses
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from harness.arguments import kept_in, parser
from harness.results import table
from rokkit.data import load
from rokkit.evaluation import auc
from rokkit.experiments import Report, Runs, Settings, system_spec
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.spec import RunSpec
from rokkit.experiments.weights import load_model
from rokkit.files import write_text
from rokkit.knowledge import teacher_representations

PARAMS, QUICK_PARAMS = Path("params/journey.yaml"), Path("params/smoke.yaml")
SIGMAS = (0.01, 0.1, 1.0)
HEADER = (
    "σ",
    "teacher",
    "r fitted on train",
    "r fitted on val",
    "imitation R²",
    "user, +ROK",
)


def settings_with(params: Path, sigma: float) -> Settings:
    """The study, its teacher starting from `sigma`."""
    study = Settings.from_yaml(params)
    options = (*study.model_options, f"{study.teacher}.init_std={sigma}")
    return dataclasses.replace(study, model_options=options, seeds=study.seeds[:1])


def representations(spec: RunSpec, report: Report) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(r [N, R], labels [N]) of train, val and test under the trained teacher."""
    assert spec.model is not None
    samples = load(spec.data.name, **dict(spec.data.options))
    inputs = Inputs(spec, samples, "cpu")
    teacher = load_model(report.folder, spec.model, samples)
    found = {}
    for part in ("train", "val", "test"):
        feed = inputs.feed(part, frozenset({"neighbours"}))
        found[part] = teacher_representations(teacher, feed), feed.labels
    return found


def fitted_auc(
    fit_on: tuple[np.ndarray, np.ndarray], measured_on: tuple[np.ndarray, np.ndarray]
) -> float:
    """AUC of a logistic regression on standardised r."""
    scale = StandardScaler().fit(fit_on[0])
    model = LogisticRegression(C=0.1, max_iter=300).fit(scale.transform(fit_on[0]), fit_on[1])
    return auc(measured_on[1], model.decision_function(scale.transform(measured_on[0])))


def numbers(study: Settings, user: str) -> list[float]:
    """The columns of the table for one study."""
    seed = study.seeds[0]
    teacher = system_spec(study.teacher, study, seed)
    one = system_spec(f"{user}+ROK", study, seed)
    reports = Runs(device="cpu")([teacher, *one.parents(), one])
    r = representations(teacher, reports[0])
    return [
        reports[0].metrics["test"]["auc"],
        fitted_auc(r["train"], r["test"]),
        fitted_auc(r["val"], r["test"]),
        reports[1].metrics["test"]["r2"],
        reports[2].metrics["test"]["auc"],
    ]


def main() -> None:
    """A line per σ."""
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
    text = table(HEADER, rows) + "\n"
    print(text, end="")
    folder = kept_in(asked)
    if folder is not None:
        write_text(folder / "teacher_leak.md", text)


if __name__ == "__main__":
    main()
