"""`rokkit claims`: the paper's claims, each with the verdict that the runs give."""

import argparse
from typing import Any

from rokkit.commands.common import add_parameters, command, given_parameters


def add(commands: Any) -> None:
    """Declare `claims`."""
    parser = command(
        commands,
        "claims",
        run,
        about="the verdict of finished runs on every claim of the paper, training nothing",
        examples=(
            "rokkit claims --params params/movielens.yaml",
            "rokkit claims            (the verdicts of all studies that have some, side by side)",
        ),
    )
    add_parameters(parser)


def run(options: argparse.Namespace) -> int:
    """Judge one study, or gather those that are judged; write the table, show it."""
    from rokkit.config import build
    from rokkit.experiments import Runs, Settings, save_table
    from rokkit.experiments.evidence import Evidence, only_read
    from rokkit.experiments.ledger import claims_table, findings_table, gathered, verdicts
    from rokkit.files import write_text
    from rokkit.paths import results_root, shown

    given = given_parameters(options)
    if not given:
        text = gathered(results_root())
        path = results_root() / "claims.md"
        write_text(path, text)
        print(f"{text}\n{shown(path)}")
        return 0
    settings = build(Settings, given, where=options.params or "parameters")
    evidence = Evidence(settings, only_read(Runs(device="cpu")))
    found = verdicts(evidence)
    save_table(findings_table(found, settings.study_name), "findings", settings.study_name)
    table = claims_table(found, settings.study_name)
    path = save_table(table, "claims", settings.study_name)
    print(f"{table.markdown()}\n\n{shown(path.with_suffix('.*'))}")
    return 0
