"""The improvements printed in the paper, from the numbers printed beside them."""

import pytest

from rokkit.errors import DataError
from rokkit.evaluation import plain_impr, rel_impr

# Rows of Table 2: (AUC, printed Rel. Impr.) on Tmall, Taobao and Alipay.
TABLE_2 = {
    "GBDT": ((0.8319, -13.55), (0.6134, -54.75), (0.6747, -34.00)),
    "DeepFM": ((0.8581, -6.72), (0.6710, -31.76), (0.6971, -25.54)),
    "FATE": ((0.8553, -7.45), (0.6762, -29.69), (0.7356, -10.99)),
    "HPMN": ((0.8526, -8.15), (0.7599, 3.71), (0.7681, 1.28)),
    "MIMN": ((0.8457, -9.95), (0.7533, 1.08), (0.7667, 0.76)),
    "DIN": ((0.8796, -1.12), (0.7433, -2.91), (0.7647, 0.00)),
    "DIEN": ((0.8839, 0.00), (0.7506, 0.00), (0.7485, -6.12)),
    "SIM": ((0.8857, 0.47), (0.7825, 12.73), (0.7600, -1.78)),
    "UBR": ((0.8975, 3.54), (0.8169, 26.46), (0.7952, 11.52)),
    "RIM": ((0.9151, 8.13), (0.8567, 42.34), (0.8005, 13.52)),
    "DERT": ((0.9200, 9.40), (0.8647, 45.53), (0.8087, 16.62)),
    "ROK": ((0.9226, 10.08), (0.8382, 34.96), (0.8093, 16.85)),
}
TABLE_2_BASES = (0.8839, 0.7506, 0.7647)  # DIEN, DIEN, DIN

# Rows of Table 3: (AUC, with ROK, printed, log-loss, with ROK, printed).
TABLE_3 = [
    (0.8585, 0.8946, 4.21, 0.4803, 0.4356, 9.31),
    (0.6710, 0.6946, 3.52, 0.6497, 0.6334, 2.51),
    (0.6971, 0.7361, 5.59, 0.6271, 0.5970, 4.80),
    (0.8796, 0.9171, 4.26, 0.4292, 0.4052, 5.59),
    (0.7433, 0.8091, 8.85, 0.6086, 0.5671, 6.82),
    (0.7647, 0.8093, 5.83, 0.6044, 0.5304, 12.24),
    (0.8839, 0.9226, 4.38, 0.4272, 0.3546, 16.99),  # printed as 20.50, see plain_impr
    (0.7506, 0.8382, 11.67, 0.6082, 0.5098, 16.18),
    (0.7485, 0.7884, 5.33, 0.6019, 0.5561, 7.61),
]

# Rows of Table 4: (AUC of the ROK variant, of the other one, printed).
TABLE_4 = [
    (0.8572, 0.8213, 4.37),
    (0.6862, 0.6298, 8.96),
    (0.8572, 0.8379, 2.30),
    (0.6862, 0.6613, 3.77),
    (0.8643, 0.8393, 2.98),
    (0.6923, 0.6344, 9.13),
    (0.8643, 0.8426, 2.58),
    (0.6923, 0.6773, 2.21),
]
PRINTED = 0.0051  # two decimals


@pytest.mark.parametrize("row", TABLE_2)
def test_rel_impr_is_every_cell_of_table_2(row):
    """Kills the plain ratio under this name: DIEN+ROK on Tmall would be 4.38."""
    for (auc, printed), base in zip(TABLE_2[row], TABLE_2_BASES, strict=True):
        assert rel_impr(auc, base) == pytest.approx(printed, abs=PRINTED)


@pytest.mark.parametrize(
    ("auc", "base", "expected"),
    [
        (0.8946, 0.8585, 10.07),
        (0.6946, 0.6710, 13.80),
        (0.7361, 0.6971, 19.79),
        (0.9171, 0.8796, 9.88),
        (0.8091, 0.7433, 27.04),
        (0.7884, 0.7485, 16.06),
    ],
)
def test_eq_9_of_table_3_is_not_what_table_3_prints(auc, base, expected):
    assert rel_impr(auc, base) == pytest.approx(expected, abs=PRINTED)


@pytest.mark.parametrize("cells", TABLE_3)
def test_plain_impr_is_table_3(cells):
    old, new, printed, old_loss, new_loss, printed_loss = cells
    assert plain_impr(new, old) == pytest.approx(printed, abs=PRINTED)
    found = plain_impr(new_loss, old_loss, lower_is_better=True)
    assert found == pytest.approx(printed_loss, abs=PRINTED)


@pytest.mark.parametrize(("new", "old", "printed"), TABLE_4)
def test_plain_impr_is_table_4(new, old, printed):
    assert plain_impr(new, old) == pytest.approx(printed, abs=PRINTED)


def test_a_lower_log_loss_is_an_improvement():
    assert plain_impr(0.5, 0.4, lower_is_better=True) == pytest.approx(-25.0)


def test_no_change_is_zero_and_eq_9_is_signed():
    assert rel_impr(0.7, 0.7) == pytest.approx(0)
    assert plain_impr(0.7, 0.7) == pytest.approx(0)
    assert rel_impr(0.6, 0.7) == pytest.approx(-50)


def test_what_cannot_be_related_to_is_refused():
    with pytest.raises(DataError, match=r"more than 0\.5"):
        rel_impr(0.7, 0.5)
    with pytest.raises(DataError, match="positive number"):
        plain_impr(0.7, 0.0)
    with pytest.raises(DataError, match="finite"):
        rel_impr(float("nan"), 0.7)
