"""The paper's orderings, asked of our runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_study import made_predictions, made_report, settle

from rokkit.experiments import Paired, Report, by_system, paper
from rokkit.experiments.orderings import ordered_pairs, orderings_table

Make = Callable[..., Report]


@pytest.fixture(autouse=True)
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    settle(tmp_path, monkeypatch)
    return lambda system, seed, *rest, **how: made_report(tmp_path, system, seed, *rest, **how)


def test_a_pair_counts_where_the_paper_agrees_with_itself() -> None:
    # DIN is ahead of DIEN on Alipay alone; RIM of DIN everywhere; DERT+ROK is not printed.
    found = ordered_pairs(["DIN", "DIEN", "RIM", "DERT", "MLP+ROK-PET"])
    assert ("DIN", "DIEN") not in found
    assert ("DIEN", "DIN") not in found
    assert ("RIM", "DIN") in found
    assert ("DIN", "RIM") not in found
    assert ("DERT", "RIM") in found
    assert not [pair for pair in found if "MLP+ROK-PET" in pair]
    for ahead, behind in found:
        for dataset in paper.DATASETS:
            a, b = (paper.value(2, name, dataset, "AUC") for name in (ahead, behind))
            assert a > b


def test_turning_the_runs_round_turns_the_verdict(make: Make) -> None:
    def verdict(rim: float, din: float) -> list[str]:
        reports = [
            make(system, seed, made_predictions(strength, seed))
            for system, strength in (("RIM", rim), ("DIN", din))
            for seed in range(4)
        ]
        table = orderings_table(reports, Paired(by_system(reports), n_boot=60))
        (row,) = table.frame.to_dict("records")
        assert (row["Ahead in the paper"], row["Behind"]) == ("RIM", "DIN")
        assert row["Paper, least"] == pytest.approx(0.9151 - 0.8796)
        assert row["Paper, largest"] == pytest.approx(0.8567 - 0.7433)
        assert np.sign(row["Ours"]) == np.sign(rim - din)
        assert f"1 {row['Here']}" in table.caption
        return [row["Here"]]

    assert verdict(4.0, 0.3) == ["holds"]
    assert verdict(0.3, 4.0) == ["reversed"]


def test_one_like_the_other_is_not_decided(make: Make) -> None:
    same = [make(system, s, made_predictions(1.0, s)) for system in ("RIM", "DIN") for s in (0, 1)]
    assert list(orderings_table(same, Paired(by_system(same), n_boot=20)).frame["Here"]) == [
        "not decided"
    ]


def test_nothing_that_the_paper_orders_is_an_empty_table(make: Make) -> None:
    table = orderings_table([make("MLP", 0), make("MLP+ROK-PET", 0)])
    assert table.frame.empty
    assert "0 holds, 0 reversed, 0 not decided" in table.markdown()
    assert table.latex()
