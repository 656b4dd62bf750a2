"""`rokkit bench`: the benchmarks of the repository, listed or run by name."""

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rokkit.commands.common import columns, command


def add(commands: Any) -> None:
    """Declare `bench`."""
    parser = command(
        commands,
        "bench",
        run,
        about="list the benchmarks of the repository, or run some by name",
        examples=(
            "rokkit bench",
            "rokkit bench retrieval --quick",
            "rokkit bench retrieval --option rows=[1e6,1e7] --option k=10",
            "rokkit bench retrieval step_share --output measured",
        ),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks (default: list them)")
    parser.add_argument(
        "--quick", action="store_true", help="a size that only shows that they work; keeps nothing"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where results are kept (default: benchmarks/results; with --quick: nowhere)",
    )
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="option of the benchmark, if one is named; its own --help lists them",
    )


def run(options: argparse.Namespace) -> int:
    """List, or run one after the other; the highest exit code of them."""
    from rokkit.config import options as pairs
    from rokkit.errors import ConfigError, unknown_name

    known = scripts()
    for name in options.names:
        if name not in known:
            raise ConfigError(unknown_name("benchmark", name, known))
    own = pairs(options.option, where="--option")
    if len(options.names) != 1 and own:
        raise ConfigError(
            f"--option is for one benchmark; {len(options.names)} are named. "
            "Run them one by one, or leave the options out."
        )
    if not options.names:
        if options.quick or options.output:
            raise ConfigError(f"no benchmark is named. Known: {', '.join(sorted(known))}.")
        print(columns(_listed(known)))
        return 0
    words = [*(["--quick"] if options.quick else []), *_words(own)]
    if options.output:
        words += ["--output", str(options.output.expanduser().resolve())]
    return max(_called(known[name], words) for name in options.names)


def scripts() -> dict[str, Path]:
    """The benchmarks of this checkout, by name; ConfigError where there is none."""
    from rokkit.errors import ConfigError
    from rokkit.paths import root

    folder = root() / "benchmarks"
    found = {path.stem: path for path in sorted(folder.glob("*.py"))}
    if not found:
        raise ConfigError(
            f"there is no benchmark in {folder}. Benchmarks are scripts of the repository and no "
            "part of the installed package: run this command inside a clone of rokkit."
        )
    return found


def _listed(known: Mapping[str, Path]) -> list[tuple[str, str, str]]:
    from rokkit.paths import shown

    rows = [("name", "results", "what")]
    for name, path in known.items():
        results = path.parent / "results" / f"{name}.md"
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        held = shown(results) if results.is_file() else "none"
        rows.append((name, held, about.partition("\n")[0]))
    return rows


def _words(own: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line: a list as several, true as the name alone."""
    words = []
    for name, value in own.items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words += [str(one) for one in (value if isinstance(value, list) else [value])]
    return words


def _called(script: Path, words: Sequence[str]) -> int:
    """The exit code of a benchmark, which measures the rokkit it lies beside; 1 if it was ended."""
    checkout = script.parents[1]
    paths = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH", "")]))
    env = os.environ | {"PYTHONPATH": paths}
    sys.stdout.flush()
    done = subprocess.run([sys.executable, str(script), *words], cwd=checkout, env=env)
    return done.returncode if done.returncode in (0, 2) else 1
