"""The parameters of a notebook: what its parameters cell declares, and what its globals hold."""

import ast
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rokkit.errors import ArtefactError, ConfigError, unknown_name
from rokkit.paths import shown

TAG = "parameters"
INJECTED = "injected-parameters"  # tag of the cell that papermill adds
MARKER = "papermill-error-cell-tag"  # tag of those it adds where a notebook failed
PLAIN = (bool, int, float, str, list, tuple, dict, type(None))
BEGUN = "_rokkit_parameters"  # where a begun notebook's globals keep the names it began with
SHELL_NAMES = frozenset({"In", "Out"})


@dataclass(frozen=True)
class Declared:
    """One parameter as a notebook's parameters cell declares it."""

    name: str
    value: Any
    annotation: str  # "" if there is none
    comment: str  # "" if there is none


def declared(path: Path) -> tuple[Declared, ...]:
    """The parameters that the notebook at `path` declares; () if it has no parameters cell.

    Raises ArtefactError if the file is no notebook, ConfigError if the cell holds anything but
    assignments of literal values.
    """
    cell = _parameters_cell(path)
    if cell is None:
        return ()
    return declarations(cell.source, where=f"parameters cell of {shown(path)}")


def tags(path: Path) -> frozenset[str]:
    """The tags of the parameters cell of the notebook at `path`; none if it has no such cell.

    Raises ArtefactError if the file is no notebook.
    """
    cell = _parameters_cell(path)
    return frozenset() if cell is None else frozenset(cell.metadata["tags"])


def _parameters_cell(path: Path) -> Any:
    for cell in read_notebook(path).cells:
        if cell.cell_type == "code" and TAG in cell.metadata.get("tags", []):
            return cell
    return None


def read_notebook(path: Path) -> Any:
    """The notebook at `path`; ArtefactError if it is missing or none."""
    import nbformat  # here, as it takes a second to import, and every notebook imports this module

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ArtefactError(f"the notebook {shown(path)} does not exist.") from None
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        text = " ".join(str(error).split())[:200]
        raise ArtefactError(f"{shown(path)} cannot be read as a notebook ({text}).") from None


def own_cells(held: Any) -> list[Any]:
    """The cells of a notebook without those that papermill added."""
    added = {INJECTED, MARKER}
    return [c for c in held.cells if not added & set(c.metadata.get("tags", []))]


def declarations(source: str, *, where: str) -> tuple[Declared, ...]:
    """Each assignment of `source`; ConfigError unless it is literal assignments alone."""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ConfigError(f"{where}: line {error.lineno} is no Python.") from None
    lines = source.splitlines()
    found = []
    for statement in statements:
        pair = _literal(statement)
        if pair is None:
            line = lines[statement.lineno - 1].strip()
            raise ConfigError(f"{where}: {line!r} is no assignment of a plain value to a name.")
        noted = statement.annotation if isinstance(statement, ast.AnnAssign) else None
        annotation = ast.unparse(noted) if noted is not None else ""
        after = lines[(statement.end_lineno or 1) - 1].encode()[statement.end_col_offset or 0 :]
        comment = after.decode().partition("#")[2].strip()
        found.append(Declared(*pair, annotation, comment))
    return tuple(found)


def present(names: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values among `names`, such as a notebook's globals: its parameters.

    Modules, functions and whatever the shell keeps there are left out. Once a notebook has begun,
    its other cells leave plain values behind too; when its first cells are run again, only what
    was a parameter then, or what a parameters cell has set since, is one.
    """
    found = {
        name: value
        for name, value in names.items()
        if not name.startswith("_") and name not in SHELL_NAMES and isinstance(value, PLAIN)
    }
    begun = names.get(BEGUN)
    if begun is None:
        return found
    literal = _literal_names(names.get("In", ()))
    return {name: value for name, value in found.items() if name in begun or name in literal}


def check_names(given: Iterable[str], known: Iterable[str], *, where: str) -> None:
    """ConfigError with the nearest name for the first of `given` that is not `known`."""
    allowed = set(known)
    for name in given:
        if name not in allowed:
            raise ConfigError(f"{where}: " + unknown_name("parameter", name, allowed))


def names_of(settings: type[Any]) -> tuple[str, ...]:
    """The parameters that a settings class knows."""
    return tuple(f.name for f in dataclasses.fields(settings))


def _literal(statement: ast.stmt) -> tuple[str, Any] | None:
    """(name, value) if `statement` sets one name to a literal."""
    if isinstance(statement, ast.AnnAssign):
        target: ast.expr = statement.target
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    else:
        return None
    if not isinstance(target, ast.Name) or statement.value is None:
        return None
    try:
        return target.id, ast.literal_eval(statement.value)
    except ValueError:
        return None


def _literal_names(sources: Sequence[str]) -> set[str]:
    """Names that cells set which look like a parameters cell: annotated literals, nothing else."""
    found: set[str] = set()
    for source in sources:
        try:
            held = declarations(source, where="cell")
        except ConfigError:  # a cell that does more
            continue
        found |= {one.name for one in held if one.annotation}
    return found
