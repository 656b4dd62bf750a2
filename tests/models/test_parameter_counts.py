"""Every registered model has the dense parameters that its docstring says."""

import re

import pytest
from made_batches import tiny_schema

from rokkit.data.schema import Field, Schema
from rokkit.layers import FieldEmbedding
from rokkit.models import CTRModel, list_models, model_entry, parameter_counts

D, STATE, SLOTS = 16, 32, 4  # the defaults of embed_dim, state_dim or state_size, slots


def head(width):
    """Of an MLP width-200-80-1."""
    return width * 200 + 200 + 200 * 80 + 80 + 80 + 1


def unit(dim):
    """Of DIN's activation unit."""
    return 3 * dim * 80 + 80 * 40 + 280


def rim(fields, items, extra):
    """RIM, whose MLP's input is scaled and shifted by default."""
    x, entering = fields * D, 2 * fields * D + D + fields * (2 * fields + 1) + extra
    hidden = entering * 200 + 200 + 200 * 80 + 80
    return x**2 + x + 2 * D + hidden + 2 * entering + 80 + D + 1


def dien(fields, items, extra):
    """DIEN without its auxiliary loss."""
    dim, h = items * D, STATE
    recurrences = 3 * h * (dim + h + 2) + dim * h + 3 * h * (2 * h + 1)
    return recurrences + head(h + fields * D + extra)


def hpmn(fields, items, extra):
    """HPMN of three layers and three hops."""
    dim, h = items * D, STATE
    grus = 3 * h * (dim + h + 2) + 2 * 3 * h * (2 * h + 2)
    hop = 80 * 4 * h + 80 + 40 * 80 + 40 + 40
    return grus + (dim + 1) * h + h**2 + 3 * hop + head(h + fields * D + extra)


def mimn(fields, items, extra):
    """MIMN without its two switches."""
    dim, h = items * D, STATE
    controller = 3 * h * (2 * dim + h + 2)
    orders, output, slots = (h + 1) * (4 * dim + 2), (h + dim + 1) * h, (SLOTS + 1) * dim
    return controller + orders + output + slots + head(2 * dim + h + fields * D + extra)


def pet(fields, items, extra):
    """PET of three rounds."""
    rounds = 2 * (10 * D**2 + 5 * D) + 7 * D**2 + 4 * D
    return rounds + 6 * D + 2 * D + head((fields + 1) * D + extra)


def ubr(fields, items, extra):
    """UBR, its selector included."""
    selector = 3 * D**2 + 4 * D + (D * 20 + 20 + 20 * 10 + 10 + 10 + 1)
    return selector + (fields * D + 1) * items * D + head((items + fields) * D + extra)


# With the default settings, by F fields, C of them in the item tuple, and E further inputs.
DOCUMENTED = {
    "deepfm": lambda f, c, e: head(f * D + e) + f * D + 1,
    "dert": rim,
    "dien": dien,
    "din": lambda f, c, e: unit(c * D) + head((c + f) * D + e),
    "fate": lambda f, c, e: 4 * D**2 + 2 * D + head(f * D + e),
    "hpmn": hpmn,
    "lr": lambda f, c, e: f * D + e + 1,
    "mimn": mimn,
    "mlp": lambda f, c, e: head(f * D + e),
    "pet": pet,
    "rim": rim,
    "sim": lambda f, c, e: 2 * unit(c * D) + head((2 * c + f) * D + e),
    "ubr": ubr,
}


def eight_fields():
    """User, an item tuple of four, three contexts."""
    roles = ["user", *["item"] * 4, *["context"] * 3]
    fields = tuple(
        Field(name=f"f{i}", role=role, offset=1 + 2 * i, size=2) for i, role in enumerate(roles)
    )
    return Schema(name="eight", fields=fields, retrieval=("f0",))


def dense(name, schema, extra):
    """Parameters beside the id table, with the default settings."""
    entry = model_entry(name)
    backbone = entry.target(schema, entry.meta["config"](), extra)
    return parameter_counts(CTRModel(FieldEmbedding(schema.n_ids, D, 0.01), backbone))["dense"]


def test_every_registered_model_has_an_entry_above():
    assert set(DOCUMENTED) == set(list_models())


@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.parametrize("schema", [tiny_schema(), eight_fields()], ids=lambda s: s.name)
@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_model_has_as_many_dense_parameters_as_documented(name, schema, extra):
    expected = DOCUMENTED[name](schema.n_fields, len(schema.item_columns), extra)
    assert dense(name, schema, extra) == expected


@pytest.mark.parametrize("name", list_models())
def test_its_docstring_says_how_many(name):
    said = model_entry(name).target.__doc__
    assert "parameters" in said.lower()
    # Where a number is given, it is that of eight fields.
    for number in re.findall(r"= ([\d,]+)\.", said):
        assert int(number.replace(",", "")) == DOCUMENTED[name](8, 4, 0)
