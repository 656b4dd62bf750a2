"""`rokkit export`: a finished run as a folder that can be served without rokkit."""

import argparse
from pathlib import Path
from typing import Any

from rokkit.commands.common import columns, command


def add(commands: Any) -> None:
    """Declare `export`."""
    parser = command(
        commands,
        "export",
        run,
        about="write the model of a finished run as a folder that can be served without rokkit",
        examples=(
            "rokkit export din+rok-s0",
            "rokkit export runs/movielens/din+rok-s0-0bdcea14f448 --output served/din",
            "rokkit export movielens/knowledge-rim-s0 --onnx            (the knowledge base alone)",
        ),
    )
    parser.add_argument(
        "run_named",
        metavar="RUN",
        help="a run's folder, or its name with or without the key, such as din+rok-s0",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="a new folder (default: in exported/)"
    )
    parser.add_argument(
        "--onnx",
        action=argparse.BooleanOptionalAction,
        help="ONNX too, or not (default: if the extra [export] is installed)",
    )


def run(options: argparse.Namespace) -> int:
    """Export it; tell what was written and under which terms."""
    from rokkit.experiments import export_run
    from rokkit.paths import shown

    made = export_run(options.run_named, options.output, options.onnx)
    artefact, card = made.artefact, made.samples.card
    rows = [(name, f"{size:>14,} bytes") for name, size in artefact.files.items()]
    rows += [("README.md", "the model card"), ("artefact.json", "inputs, outputs, fields, digests")]
    print(f"{made.report.folder.name} as {shown(made.folder)}\n{columns(rows, '  ')}")
    apart = ", ".join(f"{name} {value:.1e}" for name, value in artefact.differences.items())
    print(f"differs from the model by at most: {apart}")
    if artefact.without_onnx:
        print(f"no ONNX: {artefact.without_onnx}")
    print(f"terms of {card['name']}: {card['licence']}. {card['licence_note']}")
    return 0
