"""`rokkit table`: the tables of a study, made anew from its run folders alone."""

import argparse
from typing import Any

from rokkit.commands.common import add_parameters, command, given_parameters, run_command


def add(commands: Any) -> None:
    """Declare `table`."""
    parser = command(
        commands,
        "table",
        run,
        about="make a study's tables anew from its run folders, training nothing",
        examples=(
            "rokkit table --params params/movielens.yaml",
            "rokkit table --params params/journey.yaml -p seeds=[0] --partial",
        ),
    )
    add_parameters(parser)
    parser.add_argument(
        "--partial", action="store_true", help="take the finished runs if some are missing"
    )


def run(options: argparse.Namespace) -> int:
    """Read the runs, write the tables, show them."""
    from rokkit.config import build
    from rokkit.errors import ArtefactError
    from rokkit.experiments import (
        Paired,
        Runs,
        Settings,
        by_system,
        comparisons,
        comparisons_table,
        costs_table,
        orderings_table,
        overall_table,
        repeats_table,
        run_specs,
        save_table,
    )
    from rokkit.paths import shown

    where = options.params or "parameters"
    settings = build(Settings, given_parameters(options), where=where)
    runs = Runs(device="cpu")
    wanted = run_specs(settings)
    done = {p.spec: p.done for p in runs.plan([one.spec for one in wanted])}
    missing = [one.spec.label for one in wanted if not done[one.spec]]
    if missing and not (options.partial and len(missing) < len(wanted)):
        raise ArtefactError(
            f"{len(missing)} of {len(wanted)} runs are not there: {', '.join(missing)}. "
            f"Do them ({run_command(options)}), or take the others with --partial."
        )
    finished = [one for one in wanted if done[one.spec]]
    reports = runs([one.spec for one in finished])
    systems = [one.system for one in finished]
    held = by_system(reports)
    paired = Paired(held)
    base = settings.backbone if settings.backbone in systems else systems[0]
    for name, table in (
        ("overall", overall_table(reports, base)),
        ("comparisons", comparisons_table(comparisons(reports, paired=paired))),
        ("costs", costs_table(reports)),
        ("orderings", orderings_table(reports, paired)),
        ("repeats", repeats_table(held)),
    ):
        path = save_table(table, name, settings.study_name)
        print(f"{table.markdown()}\n\n{shown(path.with_suffix('.*'))}\n")
    if missing:
        print(f"left out, not there: {', '.join(missing)}")
    return 0
