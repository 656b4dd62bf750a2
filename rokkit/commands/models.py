"""`rokkit models`: the systems that can be run."""

import argparse
import dataclasses
from typing import Any

from rokkit.commands.common import columns, command


def add(commands: Any) -> None:
    """Declare `models`."""
    parser = command(
        commands,
        "models",
        run,
        about="list the registered models, what they read and their settings",
        examples=("rokkit models", "rokkit models 'd*' --settings"),
    )
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern (default: all)")
    parser.add_argument("--settings", action="store_true", help="show each model's settings too")


def run(options: argparse.Namespace) -> int:
    """List them."""
    from rokkit.errors import ConfigError, unknown_name
    from rokkit.models import list_systems, model_entry

    names = sorted(list_systems(options.pattern))
    if not names:
        known = list_systems()
        raise ConfigError(unknown_name("model", options.pattern, known))
    rows = [("name", "family", "paper", "reads", "teacher")]
    for name in names:
        entry = model_entry(name)
        reads = ", ".join(["features", *sorted(entry.target.needs)])
        teacher = "yes" if entry.meta["teacher"] else "no"
        rows.append((name, entry.meta["family"], entry.meta["paper"], reads, teacher))
    print(columns(rows))
    if options.settings:
        for name in names:
            fields = dataclasses.fields(model_entry(name).meta["config"])
            print(f"\n{name}\n" + columns([(f.name, _default(f)) for f in fields], "  "))
    return 0


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "no default" if field.default is dataclasses.MISSING else repr(field.default)
