"""What several commands share."""

import argparse
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from rokkit.errors import ConfigError

Run = Callable[[argparse.Namespace], int]


def command(
    commands: Any, name: str, run: Run | None, *, about: str, examples: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """Declare the command `name`; `run` takes the arguments and gives the exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples) if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """`--params` and `-p`, of the commands that take a study's parameters."""
    parser.add_argument(
        "--params", metavar="FILE", help="flat YAML of parameters, such as params/movielens.yaml"
    )
    parser.add_argument(
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="one parameter, over the file's; NAME+=VALUE adds to a list; may be given again",
    )


def given_parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters of the file and of the command line, as plain values.

    `-p name+=value` puts a value, or those of a list, behind what the file has. ConfigError if that
    is no list.
    """
    from rokkit.config import options as pairs
    from rokkit.experiments.settings import read_params

    values = read_params(options.params) if options.params else {}
    for key, value in pairs(options.parameter, where="-p").items():
        name = key.removesuffix("+")
        values[name] = value if name == key else _extended(name, values.get(name, []), value)
    return values


def _extended(name: str, held: Any, more: Any) -> list[Any]:
    if not isinstance(held, list):
        raise ConfigError(
            f"-p {name}+=: {name} is {held!r} in the file; expected a list to add to. Write "
            f"{name}=VALUE."
        )
    return [*held, *(more if isinstance(more, list) else [more])]


def run_command(options: argparse.Namespace, *notebooks: str) -> str:
    """The `rokkit run` with the same parameters, to be pasted into a shell."""
    words = ["rokkit", "run", *notebooks]
    if options.params:
        words += ["--params", options.params]
    for pair in options.parameter:
        words += ["-p", pair]
    return shlex.join(words)


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Texts in aligned columns, a line per row."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(indent + line for line in lines)
