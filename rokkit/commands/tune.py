"""`rokkit tune`: settings chosen on validation data, the same number of trials for every system."""

import argparse
from typing import Any

from rokkit.commands.common import add_parameters, command, given_parameters


def add(commands: Any) -> None:
    """Declare `tune`."""
    parser = command(
        commands,
        "tune",
        run,
        about="choose settings on validation data, with the same number of trials for every system",
        examples=(
            "rokkit tune --params params/journey.yaml --jobs 2",
            "rokkit tune --params params/journey.yaml --grid my-grid.yaml --output tuned.yaml",
        ),
    )
    add_parameters(parser)
    parser.add_argument(
        "--grid", metavar="FILE", default="params/grids/systems.yaml", help="what may be chosen"
    )
    parser.add_argument("--jobs", type=int, help="runs at the same time (default: the parameters')")
    parser.add_argument(
        "--output", metavar="FILE", help="write the parameters with what was chosen; a new file"
    )


def run(options: argparse.Namespace) -> int:
    """Do the trials that are not there yet, write the table of all, show what was chosen."""
    import dataclasses
    from pathlib import Path

    from rokkit.config import build
    from rokkit.errors import ConfigError
    from rokkit.experiments import Runs, Settings, save_table
    from rokkit.experiments.executors import opened
    from rokkit.experiments.tuning import Grid, tune, tuning_table
    from rokkit.files import write_text
    from rokkit.notebook import Follower
    from rokkit.paths import shown

    output = None if options.output is None else Path(options.output)
    if output is not None and output.exists():
        raise ConfigError(f"{shown(output)} exists; give a new file, or remove it.")
    given = given_parameters(options)
    settings = build(Settings, given, where=options.params or "parameters")
    if options.jobs is not None:
        settings = dataclasses.replace(settings, jobs=options.jobs)
    grid = Grid.from_yaml(options.grid)
    follower = Follower()
    with opened(settings.executor) as executor, follower:
        runs = Runs(
            executor=executor,
            jobs=settings.jobs,
            device=settings.device,
            progress=follower.event,
        )
        tuned = tune(settings, grid, runs)
    table = tuning_table(tuned)
    path = save_table(table, "tuning", settings.study_name)
    print(f"{table.markdown()}\n\n{shown(path.with_suffix('.*'))}\n")
    changed = {
        name: value
        for name, value in dataclasses.asdict(tuned.settings).items()
        if value != getattr(settings, name)
    }
    text = _yaml(changed)
    print("chosen:\n" + (text or "  the study's own settings\n"))
    if output is not None:
        write_text(output, _yaml(given | changed))
        print(shown(output))
    return 0


def _yaml(values: dict[str, Any]) -> str:
    """Flat YAML, a line per setting and per item of a list."""
    import yaml

    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return str(yaml.safe_dump(plain, sort_keys=False, width=100)) if values else ""
