"""Table 2, comparisons and sentences: by hand, on made-up reports."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from small_study import SETTINGS, made_predictions, made_report, settle, spec

from rokkit.data import load
from rokkit.data.profile import profile
from rokkit.errors import ConfigError
from rokkit.evaluation import Comparison, compare
from rokkit.experiments import (
    Report,
    comparison,
    comparisons,
    comparisons_table,
    costs_table,
    curves_frame,
    overall_frame,
    overall_table,
    paper,
    reading,
    run_specs,
    system_name,
    system_spec,
)
from rokkit.experiments.comparisons import pairs_of
from rokkit.experiments.grouping import by_system
from rokkit.experiments.reading import published
from rokkit.experiments.references import reference_aucs

Make = Callable[..., Report]


@pytest.fixture(autouse=True)
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a report: `make("MLP", 0, auc=0.7)`."""
    settle(tmp_path, monkeypatch)
    return lambda system, seed, *rest, **how: made_report(tmp_path, system, seed, *rest, **how)


def made(*, low: float, high: float, difference: float, **how: Any) -> Comparison:
    values: dict[str, Any] = {
        "metric": "auc",
        "mean_a": 0.7,
        "mean_b": 0.7 - difference,
        "p_value": 0.001,
        "p_bootstrap": 0.002,
        "n_seeds": 3,
        "n_samples": 9,
        "differences": (difference,) * 3,
    }
    return Comparison(difference=difference, low=low, high=high, **values | how)


def test_a_base_no_better_than_chance_leaves_the_improvement_blank(make: Make) -> None:
    table = overall_table([make("MLP", 0, auc=0.49), make("LR", 0, auc=0.6)], "MLP")
    assert table.frame["Rel. Impr. %"].isna().all()
    assert table.frame["AUC"].tolist()[:2] == [0.49, 0.6]


def test_means_spreads_and_improvement_by_hand(make: Make) -> None:
    """Kills: sd with ddof 0, Eq. 9 without the .5, the plain ratio."""
    reports = [
        make("MLP", 1, auc=0.62, log_loss=0.66, gauc=0.61, ece=0.02),
        make("MLP", 0, auc=0.58, log_loss=0.70, gauc=0.57, ece=0.04),
        make("MLP+ROK", 0, auc=0.66, log_loss=0.60, gauc=0.64, ece=0.01),
        make("MLP+ROK", 1, auc=0.64, log_loss=0.62, gauc=0.66, ece=0.03),
        make("LR", 0, auc=0.55, log_loss=0.69, gauc=0.5, ece=0.1),
    ]
    table = overall_table(reports, "MLP")
    assert table.frame["System"].tolist()[3:] == [
        "seen before (reference)",
        "pool popularity (reference)",
    ]
    frame = table.frame[:3].set_index("System")
    assert list(frame.index) == ["MLP", "MLP+ROK", "LR"]
    assert frame["Seeds"].tolist() == [2, 2, 1]
    assert frame["AUC"].tolist() == pytest.approx([0.60, 0.65, 0.55])
    assert frame["AUC sd"].tolist()[:2] == pytest.approx([0.04 / 2**0.5, 0.02 / 2**0.5])
    assert np.isnan(frame.at["LR", "AUC sd"])
    assert frame["Log-loss"].tolist() == pytest.approx([0.68, 0.61, 0.69])
    assert frame["gAUC"].tolist() == pytest.approx([0.59, 0.65, 0.5])
    assert frame["ECE"].tolist() == pytest.approx([0.03, 0.02, 0.1])
    # (.65 - .5) / (.60 - .5) - 1 and (.55 - .5) / (.60 - .5) - 1
    assert frame["Rel. Impr. %"].tolist() == pytest.approx([0.0, 50.0, -50.0])
    assert frame.at["MLP", "Paper Tmall"] == 0.8393
    assert frame.at["MLP+ROK", "Paper Alipay"] == 0.6923
    assert np.isnan(frame.at["LR", "Paper Taobao"])
    assert table.ranks()[1, "AUC"] == table.ranks()[1, "Log-loss"] == "best"
    assert "Eq. 9 against MLP" in table.notes[0]
    assert "small" in table.caption


def test_references_are_of_the_samples_that_were_tested_on(make: Make) -> None:
    """Kills: references of val, or of the data set with other options."""
    report = make("MLP", 0, auc=0.51, log_loss=3.0)
    small = replace(report.spec.data, options=(("rows", 30),))
    for one in (report, replace(report, spec=replace(report.spec, data=small))):
        table = overall_table([one], "MLP")
        samples = load("small", **dict(one.spec.data.options))
        expected = reference_aucs(profile(samples).test)
        assert table.frame["AUC"].tolist() == [0.51, *expected.values()]
        assert max(expected.values()) > 0.51  # it would be ranked above the system
        assert table.ranks() == {(0, "AUC"): "best", (0, "Log-loss"): "best"}
        assert table.stars == frozenset()
        shown = [set(row[1:2] + row[3:]) for row in table.texts()[1:]]
        assert shown == [{"–"}, {"–"}]  # nothing but an AUC
        assert comparisons([one]) == {}


def test_the_base_of_the_improvement_has_to_be_there(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"base of Rel\. Impr\.: system 'DIN' is not known"):
        overall_table([make("MLP", 0)])


def test_a_star_needs_a_best_that_all_seeds_agree_on(make: Make) -> None:
    """Kills: stars by the bootstrap; a test between others than best and second."""
    weak = [make("LR", s, made_predictions(0.2, s)) for s in range(4)]
    middle = [make("MLP", s, made_predictions(0.6, s)) for s in range(4)]
    strong = [make("RIM", s, made_predictions(1.5, s)) for s in range(4)]
    found = overall_table([*weak, *strong, *middle], "MLP")
    p = comparison([*strong, *middle], "RIM", "MLP", n_boot=1).p_value
    assert p is not None
    assert p < 0.01
    assert found.stars == {(1, "AUC"), (1, "Log-loss")}
    again = [make("DIN", s, made_predictions(1.5, 9 - s)) for s in range(4)]
    assert overall_table([*weak, *strong, *again], "LR").stars == frozenset()


def test_a_single_seed_never_earns_a_star(make: Make) -> None:
    reports = [make("LR", 0, made_predictions(0.1)), make("MLP", 0, made_predictions(3.0))]
    assert overall_table(reports, "MLP").stars == frozenset()


def test_costs_by_hand(make: Make) -> None:
    timings = {"train": 4.0, "retrieval": 1.0, "teacher": 3.0, "construct": 5.0}
    reports = [
        make("MLP", 0, timings={"train": 1.0}, total=120),
        make("MLP", 1, timings={"train": 2.0}, total=120),
        make("MLP+ROK", 0, timings=timings, total=1200),
    ]
    table = costs_table(reports)
    frame = table.frame.set_index("System")
    assert frame["Train s"].tolist() == [1.5, 4.0]
    assert frame["Parameters"].tolist() == [120, 1200]
    assert frame["Epochs"].tolist() == [2.0, 2.0]
    before = ["Retrieval s", "Teacher s", "Construction s"]
    assert frame.loc["MLP+ROK", before].tolist() == [1.0, 3.0, 5.0]
    assert table.texts()[0][-3:] == ["–", "–", "–"]
    assert table.texts()[1][1] == "1,200"


def test_the_encoder_of_dense_neighbours_has_a_column_where_there_is_one(make: Make) -> None:
    reports = [make("MLP", 0), make("RIM", 0, timings={"train": 2.0, "encoder": 7.0})]
    frame = costs_table(reports).frame
    assert frame["Encoder s"].tolist()[1] == 7.0
    assert np.isnan(frame["Encoder s"][0])
    assert "Encoder s" not in costs_table(reports[:1]).frame


def test_what_is_compared() -> None:
    systems = ["LR", "DIN", "MLP", "RIM", "MLP+ROK", "DIN+ROK-PET", "MLP+ROK-PET"]
    found = [pair for pair in pairs_of(systems) if set(pair) <= set(systems)]
    assert found == [
        ("RIM", "DIN"),
        ("MLP+ROK", "MLP"),
        ("DIN+ROK-PET", "DIN"),
        ("MLP+ROK-PET", "MLP"),
        ("MLP+ROK-PET", "MLP+ROK"),
        ("LR", "MLP"),
        ("DIN", "MLP"),
        ("RIM", "MLP"),
    ]


def test_systems_are_grouped_in_order_of_appearance_and_by_seed(make: Make) -> None:
    one, other = make("RIM", 1), make("RIM", 0)
    construction = replace(one, spec=spec("MLP+ROK").parents()[0])
    held = by_system([make("MLP", 0), one, construction, other])
    assert {name: [r.spec.seed for r in runs] for name, runs in held.items()} == {
        "MLP": [0],
        "RIM": [0, 1],
    }


def test_two_runs_of_a_system_with_one_seed_are_refused(make: Make) -> None:
    """Kills: a sweep over alpha that is averaged away."""
    swept = replace(make("MLP+ROK", 0), spec=spec("MLP+ROK", 0, alpha=0.9))
    with pytest.raises(ConfigError, match=r"MLP\+ROK has seeds \[0, 0\]; expected each once"):
        by_system([make("MLP+ROK", 0), swept])


def test_the_tidy_frame_holds_every_metric_of_every_part(make: Make) -> None:
    report = make("MLP", 3, auc=0.61)
    frame = overall_frame([report])
    assert list(frame.columns) == ["dataset", "system", "seed", "split", "metric", "value"]
    assert len(frame) == sum(map(len, report.metrics.values()))
    row = frame.query("split == 'test' and metric == 'auc'").iloc[0]
    assert row.tolist() == ["small", "MLP", 3, "test", "auc", 0.61]


def test_curves_read_the_history_of_each_run(make: Make) -> None:
    report = make("MLP", 0)
    (report.folder / "history.csv").write_text("step,epoch,auc,r2\n8,1,0.5,\n16,2,0.6,0.25\n")
    assert curves_frame([report]).to_numpy().tolist() == [
        ["MLP", 0, 1.0, "auc", 0.5],
        ["MLP", 0, 2.0, "auc", 0.6],
        ["MLP", 0, 2.0, "r2", 0.25],
    ]


def test_evaluations_within_an_epoch_lie_apart(make: Make) -> None:
    report = make("MLP", 0)
    rows = ("3,1,0.5", "5,1,0.6", "8,2,0.7")  # epochs of 5 steps, left in the second
    (report.folder / "history.csv").write_text("\n".join(["step,epoch,auc", *rows]))
    assert curves_frame([report])["epoch"].tolist() == [0.6, 1.0, 1.6]


def test_a_comparison_pairs_the_seeds_both_have(make: Make) -> None:
    """Kills: pairing by position; labels of another part."""
    p = {s: made_predictions(1.0, s) for s in range(3)}
    q = {s: made_predictions(0.4, 10 + s) for s in range(3)}
    reports = [make("RIM", s, p[s]) for s in (2, 0, 1)] + [make("MLP", s, q[s]) for s in (1, 2)]
    found = comparison(reports, "RIM", "MLP", n_boot=20)
    y = np.asarray(load("small").test.y)
    expected = compare(np.stack([p[1], p[2]]), np.stack([q[1], q[2]]), y, n_boot=20)
    assert found == expected
    assert found.n_seeds == 2


def test_a_comparison_that_cannot_be_made_is_refused(make: Make) -> None:
    reports = [make("RIM", 0), make("MLP", 1)]
    with pytest.raises(ConfigError, match=r"system 'RIMM' is not known. Did you mean 'RIM'"):
        comparison(reports, "RIMM", "MLP")
    with pytest.raises(ConfigError, match="RIM and MLP have no seed in common"):
        comparison(reports, "RIM", "MLP")


def test_the_comparisons_table_says_what_was_found(make: Make) -> None:
    reports = [make("RIM", s, made_predictions(2.0, s)) for s in range(3)]
    reports += [make("MLP", s, made_predictions(0.3, 20 + s)) for s in range(3)]
    pairs = (("RIM", "MLP"), ("MLP", "RIM"), ("RIM", "DIN"))
    found = comparisons(reports, pairs)
    assert list(found) == [("RIM", "MLP"), ("MLP", "RIM")]  # DIN was not run
    table = comparisons_table(found)
    assert list(table.frame.columns) == [
        "System",
        "Against",
        "Seeds",
        "Difference",
        "Low",
        "High",
        "p (seeds)",
        "p (samples)",
        "Finding",
    ]
    first, second = table.frame.to_dict("records")
    c = found["RIM", "MLP"]
    assert first["Seeds"] == 3
    assert (first["Difference"], first["Low"], first["High"]) == (c.difference, c.low, c.high)
    assert first["p (seeds)"] == pytest.approx(stats.ttest_1samp(c.differences, 0).pvalue)
    assert first["p (samples)"] == c.p_bootstrap
    assert (first["Finding"], second["Finding"]) == ("better", "worse")
    assert second["Difference"] == pytest.approx(-first["Difference"])
    assert table.caption == "Difference in test AUC: system minus against."


def test_a_table_of_one_seed_shows_no_p_over_seeds(make: Make) -> None:
    reports = [make("RIM", 0, made_predictions(2.0)), make("MLP", 0, made_predictions(0.3, 5))]
    found = comparisons(reports, (("RIM", "MLP"),), "log_loss")
    table = comparisons_table(found)
    assert table.texts()[0][6] == "–"
    assert table.frame.at[0, "Difference"] < 0
    assert table.frame.at[0, "Finding"] == "better"  # a lower log-loss
    assert "log-loss" in table.caption


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"difference": 0.02, "low": 0.01, "high": 0.03}, "better"),
        ({"difference": -0.02, "low": -0.03, "high": -0.01}, "worse"),
        ({"difference": 0.02, "low": -0.01, "high": 0.03}, "not decided"),
        ({"difference": 0.02, "low": 0.0, "high": 0.03}, "not decided"),
        ({"difference": -0.02, "low": -0.03, "high": 0.0}, "not decided"),
        ({"difference": 0.02, "low": 0.01, "high": 0.03, "p_value": 0.01}, "not decided"),
        ({"difference": 0.02, "low": 0.01, "high": 0.03, "p_value": 0.0099}, "better"),
        ({"difference": 0.02, "low": 0.01, "high": 0.03, "p_value": None}, "better"),
        ({"difference": 0.02, "low": 0.01, "high": 0.03, "metric": "log_loss"}, "worse"),
        ({"difference": -0.02, "low": -0.03, "high": -0.01, "metric": "log_loss"}, "better"),
    ],
)
def test_a_finding_needs_both_tests_to_agree(how: dict[str, Any], expected: str) -> None:
    assert made(**how).finding == expected


def test_a_sentence_follows_the_predictions(make: Make) -> None:
    """Kills: a sentence that knows its outcome."""
    strong = [made_predictions(1.5, s) for s in range(3)]
    weak = [made_predictions(0.2, 30 + s) for s in range(3)]

    def sentence(a: list[Any], b: list[Any]) -> str:
        reports = [make("RIM", s, p) for s, p in enumerate(a)]
        reports += [make("DIN", s, p) for s, p in enumerate(b)]
        return reading(comparisons(reports)).lines[0]

    assert sentence(strong, weak).startswith("RIM is better than DIN: +0.")
    assert sentence(weak, strong).startswith("RIM is worse than DIN: -0.")
    turned = [1 - p for p in strong]
    assert sentence(turned, weak).startswith("RIM is worse than DIN: -0.")
    same = "RIM cannot be told from DIN: +0.0000 test AUC (95 % interval +0.0000 to +0.0000; p = 1"
    assert sentence(weak, weak).startswith(same)


def test_the_papers_difference_stands_beside_ours() -> None:
    expected = {
        dataset: paper.value(3, "DIN+ROK", dataset, "AUC") - paper.value(2, "DIN", dataset, "AUC")
        for dataset in paper.DATASETS
    }
    assert published("DIN+ROK", "DIN") == pytest.approx(expected)
    assert published("MLP+ROK", "MLP").keys() == {"Tmall", "Alipay"}
    assert published("DIN+ROK", "OWN") == {}
    found = {
        ("MLP+ROK", "MLP"): made(difference=0.02, low=0.01, high=0.03),
        ("OWN", "MLP"): made(difference=-0.02, low=-0.03, high=-0.01, p_value=None, n_seeds=1),
    }
    assert reading(found).lines == (
        "MLP+ROK is better than MLP: +0.0200 test AUC (95 % interval +0.0100 to +0.0300; "
        "p = 0.001 over 3 seeds). The paper, on its data: +0.0250 on Tmall, +0.0579 on Alipay.",
        "OWN is worse than MLP: -0.0200 test AUC (95 % interval -0.0300 to -0.0100).",
    )


def test_what_is_left_of_the_teachers_lead_is_said_where_it_has_one() -> None:
    rok = made(difference=0.03, low=0.01, high=0.05)
    lead = made(difference=0.06, low=0.04, high=0.08)
    none = made(difference=0.06, low=-0.04, high=0.08)
    pairs = ("RIM", "DIN"), ("DIN+ROK", "DIN"), ("MLP+ROK", "MLP")
    found = reading(dict(zip(pairs, (lead, rok, rok), strict=True)))
    assert len(found.lines) == 4
    assert found.lines[3] == "DIN+ROK keeps 50% of RIM's lead over DIN, without a search."
    assert len(reading(dict(zip(pairs, (none, rok, rok), strict=True))).lines) == 3
    assert str(found).startswith("- RIM is better than DIN")
    assert found._repr_markdown_() == str(found)


def test_imitation_is_the_mean_over_the_bases(make: Make) -> None:
    parts = {"r2": 0.4, "r2_labels": 0.2, "r2_features": 0.6, "collapse": 0.1}
    one = make("MLP+ROK", 0, **parts)
    other = make("MLP+ROK", 1, **parts | {"r2": 0.6, "r2_labels": 0.3})
    assert reading({}, [one, other]).lines == (
        "Imitation of RIM on test samples: R² 0.50 (features 0.60, labels 0.25); collapse level "
        "0.10 (0: none). Mean over 2 knowledge bases.",
    )
    assert reading({}, [one]).lines[0].endswith("Mean over 1 knowledge base.")
    split = [make("MLP+ROK", 2, **parts, r2_warm=0.5, r2_cold=cold) for cold in (-0.1, 0.2)]
    assert reading({}, split).lines == (
        "Imitation of RIM on test samples: R² 0.40 (features 0.60, labels 0.20; items among the "
        "train targets 0.50, others 0.05); collapse level 0.10 (0: none). "
        "Mean over 2 knowledge bases.",
    )
    # One that was measured before there was such a split, or has no cold item: nothing is said.
    warm = make("MLP+ROK", 3, **parts, r2_warm=0.5)
    for without in (one, warm):
        assert "(features 0.60, labels 0.20); coll" in reading({}, [split[0], without]).lines[0]
    assert reading({}).lines == ()
    both = reading({}, [one, make("MLP+ROK-PET", 0, **parts), other]).lines
    assert [line.split(" on ")[0] for line in both] == ["Imitation of RIM", "Imitation of PET"]
    assert "R² 0.50" in both[0]


def test_a_run_per_system_and_seed_in_the_order_of_the_settings() -> None:
    settings = replace(SETTINGS, systems=("MLP+ROK", "LR"), seeds=(4, 1))
    runs = run_specs(settings)
    assert [(run.system, run.seed) for run in runs] == [
        ("MLP+ROK", 4),
        ("MLP+ROK", 1),
        ("LR", 4),
        ("LR", 1),
    ]
    assert [run.spec.label for run in runs] == ["mlp+rok-s4", "mlp+rok-s1", "lr-s4", "lr-s1"]
    assert system_name(runs[0].spec) == "MLP+ROK"


def test_settings_reach_the_specs() -> None:
    """Kills: a setting that is read from another field, such as the teacher's from the model's."""
    one = spec(
        "mlp+rok",
        k=2,
        retrieval_fields=("item",),
        history_length=4,
        embed_dim=8,
        teacher_dropout=0.6,
        teacher_epochs=7,
        teacher_batch_size=6,
        teacher_learning_rate=0.5,
        teacher_weight_decay=0.25,
        weight_decay=0.125,
        alpha=0.7,
        positive="random",
        standardise=False,
        construct_patience=5,
        construct_weight_decay=0.0625,
        manner="instance",
        update="g",
        pool_rows=9,
        base_encoder="transformer",
        model_options=("mlp.init_std=0.3", "rim.scale_attention=true"),
        training_options=("mlp.patience=9", "rim.patience=8"),
    )
    knowledge, model = one.knowledge, dict(one.model.config)
    assert knowledge is not None
    teacher, training = dict(knowledge.teacher.config), knowledge.teacher_training
    assert (one.retrieval.k, one.retrieval.fields, one.history_length) == (2, ("item",), 4)
    assert (model["dropout"], model["embed_dim"], model["init_std"]) == (0.1, 8, 0.3)
    assert (teacher["dropout"], teacher["embed_dim"]) == (0.6, 8)
    assert teacher["scale_attention"] is True
    assert "init_std" not in teacher
    assert (training.epochs, training.batch_size) == (7, 6)
    assert (training.learning_rate, training.weight_decay) == (0.5, 0.25)
    assert (one.training.epochs, one.training.weight_decay) == (2, 0.125)
    assert (training.patience, one.training.patience) == (8, 9)
    assert (knowledge.base.dim, knowledge.base.standardise) == (4, False)
    assert (knowledge.base.encoder, knowledge.construct.pool_rows) == ("transformer", 9)
    assert (knowledge.construct.alpha, knowledge.construct.positive) == (0.7, "random")
    construction = knowledge.construct_training
    assert (construction.monitor, construction.patience) == ("loss", 5)
    assert construction.weight_decay == 0.0625
    assert (knowledge.use.manner, knowledge.use.update) == ("instance", "g")


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ("DINN", "system 'DINN' is not known. Did you mean 'DIN'"),
        ("MPL.ROK", "Did you mean 'MLP.ROK'"),
        ("+ROK", "system '.ROK' is not known"),
        ("MLP.ROK-PIT", "Did you mean 'MLP.ROK-PET'"),
        ("MLP.ROK-", "system 'MLP.ROK-' is not known"),
        ("MLP.ROKK", "Did you mean 'MLP.ROK'"),
        ("MLP.ROK-LR", "'lr' aggregates no neighbours"),
    ],
)
def test_an_unknown_system_is_refused_with_the_nearest_name(system: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        system_spec(system.replace(".", "+"), SETTINGS, 0)


def test_a_system_may_name_its_teacher() -> None:
    one = system_spec("MLP+ROK-PET", SETTINGS, 0)
    assert one.knowledge is not None
    assert one == system_spec("MLP+ROK", replace(SETTINGS, teacher="pet"), 0)
    assert (one.system, system_name(one)) == ("mlp+rok-pet", "MLP+ROK-PET")
    assert one.parents()[0].system == "knowledge-pet"
    assert system_spec("MLP+ROK-RIM", SETTINGS, 0) == system_spec("MLP+ROK", SETTINGS, 0)
    assert system_spec("mlp+rok-dert", SETTINGS, 0).retrieval.engine == "dense"
    assert system_spec("MLP+ROK", SETTINGS, 0).retrieval.engine == "bm25"


@pytest.mark.parametrize("option", ["model_options", "training_options"])
def test_options_of_a_model_that_is_not_known_are_refused(option: str) -> None:
    settings = replace(SETTINGS, **{option: ("dinn.dropout=0.1",)})
    with pytest.raises(ConfigError, match=f"{option}: model 'dinn' is not known. Did you mean"):
        run_specs(settings)


def test_training_of_a_model_is_checked_as_that_of_all() -> None:
    with pytest.raises(ConfigError, match="training_options of 'mlp': setting 'epoch' is not"):
        spec("MLP", training_options=("mlp.epoch=3",))
    with pytest.raises(ConfigError, match="epochs is 0; expected at least 1"):
        spec("MLP", training_options=("mlp.epochs=0",))


def test_what_holds_in_rok_systems_alone_leaves_the_others_as_they_are() -> None:
    options: dict[str, Any] = {
        "model_options": ("rim.init_std=0.2", "rok.rim.init_std=0.3", "rok.mlp.dropout=0.4"),
        "training_options": ("rok.rim.epochs=9", "rok.mlp.epochs=8"),
    }
    one, alone, teacher = (spec(name, **options) for name in ("MLP+ROK", "MLP", "RIM"))
    assert alone == spec("MLP", model_options=("rim.init_std=0.2",))
    assert dict(teacher.model.config)["init_std"] == 0.2
    assert teacher.training.epochs == 2
    assert one.knowledge is not None
    assert dict(one.knowledge.teacher.config)["init_std"] == 0.3
    assert one.knowledge.teacher_training.epochs == 9
    assert dict(one.model.config)["dropout"] == 0.4
    assert one.training.epochs == 8
    assert one.parents()[0].parents()[0] != teacher
    with pytest.raises(ConfigError, match=r"model_options: model 'rok\.rimm' is not known"):
        spec("MLP", model_options=("rok.rimm.init_std=0.3",))


def test_a_model_may_see_longer_histories_than_the_others() -> None:
    """Kills: a search through the user's history that sees what everyone sees."""
    settings = replace(SETTINGS, model_options=("sim.history_length=9",))
    sim, din, both = (system_spec(one, settings, 0) for one in ("SIM", "DIN", "SIM+ROK"))
    assert (sim.history_length, din.history_length, both.history_length) == (9, 5, 9)
    assert sim.model == system_spec("SIM", SETTINGS, 0).model
    other = system_spec("DIN+ROK", settings, 0)
    assert both.construction is not None
    assert other.construction is not None
    assert both.construction.key("") == other.construction.key("")  # one base serves both
    with pytest.raises(ConfigError, match=r"sim\.history_length is 'long'"):
        system_spec("SIM", replace(SETTINGS, model_options=("sim.history_length=long",)), 0)
    with pytest.raises(ConfigError, match="history_length is 0"):
        system_spec("SIM", replace(SETTINGS, model_options=("sim.history_length=0",)), 0)
