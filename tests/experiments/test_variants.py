"""Variants and Table 3: by hand, on made-up reports."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from small_study import made_predictions, made_report, settle

from rokkit.data import load
from rokkit.errors import ConfigError
from rokkit.evaluation import compare
from rokkit.experiments import (
    Report,
    bases_table,
    best_on_validation,
    compatibility_figure,
    compatibility_table,
    overall_frame,
    sweep_figure,
    variants_figure,
    variants_frame,
    variants_reading,
    variants_table,
    with_and_without,
)

Make = Callable[..., Report]


@pytest.fixture(autouse=True)
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a report whose predictions know `strength` of the labels."""
    settle(tmp_path, monkeypatch)

    def one(system: str, seed: int, strength: float = 1.0, **metrics: float) -> Report:
        folder = tmp_path / f"{system}-{seed}-{strength}"
        return made_report(folder, system, seed, made_predictions(strength, seed), **metrics)

    return one


@pytest.fixture
def variants(make: Make) -> dict[str, list[Report]]:
    return {
        "Fix": [make("MLP", seed, 2.0) for seed in range(5)],
        "Upd g": [make("MLP", seed, 0.2) for seed in range(5)],
        "Same": [make("MLP", seed, 2.0) for seed in (3, 1, 0, 2, 4)],
    }


def test_the_table_compares_each_variant_with_one_seed_by_seed(
    variants: dict[str, list[Report]],
) -> None:
    """Kills: pairing by position instead of seed, the sign, another metric, means over val."""
    table = variants_table(variants, "Fix", "caption")
    frame = table.frame.set_index("Variant")
    assert list(frame.index) == list(variants)
    y = np.asarray(load("small").test.y)
    p, q = (np.stack([made_predictions(s, seed) for seed in range(5)]) for s in (0.2, 2.0))
    expected = compare(p, q, y)
    upd = frame.loc["Upd g"]
    assert (upd["Difference"], upd["Low"], upd["High"], upd["p (seeds)"]) == (
        expected.difference,
        expected.low,
        expected.high,
        expected.p_value,
    )
    assert upd["Finding"] == "worse"
    assert frame.at["Same", "Difference"] == 0
    assert frame.at["Same", "p (seeds)"] == 1
    assert np.isnan(frame.at["Fix", "Difference"])
    aucs = [r.metrics["test"]["auc"] for r in variants["Upd g"]]
    assert upd["AUC"] == pytest.approx(np.mean(aucs))
    assert upd["AUC sd"] == pytest.approx(np.std(aucs, ddof=1))
    assert table.ranks()[0, "AUC"] == "best"


def test_a_star_and_a_rank_are_among_the_variants_of_most_seeds(
    variants: dict[str, list[Report]], make: Make
) -> None:
    """Kills: a single lucky seed as the best, a star where best and second are the same."""
    del variants["Same"]
    lucky = {"Lucky": [make("DIN", 0, 3.0)]} | variants
    table = variants_table(lucky, "Fix", "")
    assert table.frame["AUC"].idxmax() == 0
    assert table.ranks() == {
        **{(1, column): "best" for column in ("AUC", "Log-loss")},
        **{(2, column): "second" for column in ("AUC", "Log-loss")},
    }
    assert table.stars == {(1, "AUC"), (1, "Log-loss")}
    same = {name: variants["Fix"] for name in (0, 0.5)}
    assert variants_table(same, 0, "").stars == frozenset()
    alone = {name: runs[:1] for name, runs in lucky.items()}  # all of one seed
    table = variants_table(alone, "Fix", "")
    assert table.ranks()[0, "AUC"] == "best"
    assert table.stars == frozenset()


def test_a_variant_stands_beside_its_row_of_the_paper(make: Make) -> None:
    held = {"LR": [make("LR", 0)], "ROK(LR)": [make("MLP", 0)], "other": [make("MLP", 0)]}
    beside = {name: (4, name) for name in ("LR", "ROK(LR)")}
    frame = variants_table(held, "LR", "", name="System", published=beside).frame
    assert frame["System"].tolist() == list(held)
    assert frame["Paper Tmall"].tolist()[:2] == [0.8213, 0.8572]
    assert frame["Paper Alipay"].tolist()[:2] == [0.6298, 0.6862]
    assert frame["Paper Taobao"].isna().all()  # the paper prints none
    assert np.isnan(frame["Paper Tmall"][2])
    assert np.isnan(frame["p (seeds)"][1])  # a single seed


def test_an_unknown_variant_is_named_with_the_nearest(variants: dict[str, list[Report]]) -> None:
    with pytest.raises(ConfigError, match=r"variant 'Fixed' is not known\. Did you mean 'Fix'"):
        variants_table(variants, "Fixed", "")


def test_readings_say_what_the_runs_say(variants: dict[str, list[Report]]) -> None:
    lines = variants_reading(variants, "Fix").lines
    assert lines[0].startswith("Upd g is worse than Fix: -0.")
    assert lines[1].startswith("Same cannot be told from Fix: +0.0000")
    turned = {"Fix": variants["Upd g"], "Upd g": variants["Fix"]}
    assert variants_reading(turned, "Fix").lines[0].startswith("Upd g is better than Fix: +0.")
    numbers = {0.0: variants["Fix"], 0.5: variants["Upd g"]}
    (line,) = variants_reading(numbers, 0.0, name="alpha").lines
    assert line.startswith("alpha 0.5 is worse than alpha 0.0")


def test_a_value_is_chosen_on_validation_data_alone(make: Make) -> None:
    """Kills: choosing on test, the worst, a single seed."""

    def of(val: float, test: float, seed: int) -> Report:
        one = make("MLP", seed)
        metrics = {"val": {"auc": val, "log_loss": 1 - val}, "test": {"auc": test}}
        return replace(one, metrics=metrics)

    held = {
        0.0: [of(0.6, 0.9, 0), of(0.6, 0.9, 1)],
        0.5: [of(0.5, 0.7, 0), of(0.8, 0.7, 1)],
        1.0: [of(0.7, 0.5, 0), of(0.55, 0.5, 1)],
    }
    assert best_on_validation(held) == best_on_validation(held, "log_loss") == 0.5


def test_bases_are_told_by_what_they_learnt(make: Make) -> None:
    def of(seed: int, **test: float) -> Report:
        return replace(make("MLP", seed), metrics={"val": {}, "test": test})

    bases = {
        0.0: [of(0, r2=0.5, r2_warm=0.6, r2_cold=0.1, collapse=0.9), of(1, r2=0.3, collapse=0.7)],
        1.0: [of(0, r2=-1.0, collapse=0.0)],
    }
    frame = bases_table(bases, "alpha").frame
    assert frame["alpha"].tolist() == [0.0, 1.0]
    assert frame["Seeds"].tolist() == [2, 1]
    assert frame["R²"].tolist() == [0.4, -1.0]
    assert frame["Collapse"].tolist() == [0.8, 0.0]
    assert np.isnan(frame["R² cold"][1])


def test_table_3_by_hand(make: Make) -> None:
    """Kills: Eq. 9 and the ratio exchanged, the log-loss's sign, backbones without a partner."""
    reports = [
        make("LR", 0, auc=0.9),
        make("DIN", 0, auc=0.60, log_loss=0.70),
        make("DIN+ROK", 0, 2.0, auc=0.66, log_loss=0.63),
        make("MLP+ROK", 0, auc=0.5),
    ]
    frame = compatibility_table(reports).frame
    assert frame["Backbone"].tolist() == ["DIN"]
    row = frame.iloc[0]
    assert row["Rel. Impr. %"] == pytest.approx(60)  # .16 / .10 - 1
    assert row["Ratio %"] == pytest.approx(10)
    assert row["Log-loss impr. %"] == pytest.approx(10)
    assert (row["AUC"], row["AUC + ROK"], row["Log-loss + ROK"]) == (0.60, 0.66, 0.63)
    assert row["Paper Tmall %"] == pytest.approx((0.9171 / 0.8796 - 1) * 100)
    y = np.asarray(load("small").test.y)
    expected = compare(made_predictions(2.0), made_predictions(1.0), y)
    assert row["Difference"] == expected.difference
    assert row["Finding"] == expected.finding


def test_a_base_of_another_teacher_has_a_row_of_its_own_in_table_3(make: Make) -> None:
    """Kills: the other base's numbers in the row of RIM's, the paper's ROK beside another's."""
    reports = [
        make("DIN", 0, auc=0.60, log_loss=0.70),
        make("DIN+ROK-PET", 0, 2.0, auc=0.63, log_loss=0.69),
        make("DIN+ROK", 0, 2.0, auc=0.66, log_loss=0.63),
        make("MLP+ROK-PET", 0, auc=0.5),
    ]
    frame = compatibility_table(reports).frame.set_index("Backbone")
    assert list(frame.index) == ["DIN, base of PET", "DIN"]
    assert frame["AUC + ROK"].tolist() == [0.63, 0.66]
    assert frame["AUC"].tolist() == [0.60, 0.60]
    assert np.isnan(frame["Paper Tmall %"].iloc[0])
    assert not np.isnan(frame["Paper Tmall %"].iloc[1])


def test_a_star_of_table_3_is_at_the_better_one_of_a_pair(make: Make) -> None:
    """Kills: a star at ROK whatever came out, one test for both metrics, stars without seeds."""

    def pair(backbone: str, rok: float, plain: float, losses: tuple[float, float]) -> list[Report]:
        return [
            make(name, seed, strength, auc=0.6, log_loss=loss)
            for name, strength, loss in (
                (backbone, plain, losses[0]),
                (f"{backbone}+ROK", rok, losses[1]),
            )
            for seed in range(5)
        ]

    reports = [*pair("DIN", 2.0, 0.4, (0.7, 0.6)), *pair("MLP", 0.4, 2.0, (0.6, 0.7))]
    assert compatibility_table(reports).stars == {
        *((0, f"{metric} + ROK") for metric in ("AUC", "Log-loss")),
        *((1, metric) for metric in ("AUC", "Log-loss")),
    }
    assert compatibility_table(pair("DIN", 1.0, 1.0, (0.7, 0.7))).stars == frozenset()
    assert compatibility_table(reports[::5]).stars == frozenset()


def test_table_3_needs_each_backbone_twice() -> None:
    assert with_and_without(["DIN", "UBR"]) == ("DIN", "DIN+ROK", "UBR", "UBR+ROK")


def offsets(figure: object, axis: int) -> list[float]:
    (ax,) = figure.axes  # type: ignore[attr-defined]
    drawn = [c for c in ax.collections if isinstance(c, PathCollection)]
    return sorted(float(v) for c in drawn for v in np.asarray(c.get_offsets())[:, axis])


def test_figures_draw_every_seed_and_the_means(make: Make) -> None:
    reports = [make("DIN", s, auc=0.6 + s / 10) for s in (0, 1)]
    reports += [make("DIN+ROK", s, auc=0.8 + s / 10) for s in (0, 1)]
    reports += [make("LR", 0, auc=0.55)]
    drawn = offsets(compatibility_figure(overall_frame(reports)), 0)
    assert drawn == pytest.approx([0.6, 0.65, 0.7, 0.8, 0.85, 0.9])  # LR has no partner

    sweep = variants_frame({0.0: reports[:2], 0.5: reports[2:4]})
    figure = sweep_figure(sweep, "alpha", "auc", {"DIN": 0.62})
    assert offsets(figure, 1) == pytest.approx([0.6, 0.7, 0.8, 0.9])
    line, level = figure.axes[0].lines
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx([0.65, 0.85])
    assert set(np.asarray(level.get_ydata()).tolist()) == {0.62}

    names = variants_frame({"Fix": reports[:2], "Random": reports[2:4]})
    ticks = [t.get_text() for t in variants_figure(names).axes[0].get_yticklabels()]
    assert ticks == ["Fix", "Random"]
