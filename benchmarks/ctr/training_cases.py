"""What the training benchmark measures, case by case. `asked` are the script's arguments."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ctr import accuracy, synth
from ctr import training_page as report
from ctr.arrays import Arrays
from ctr.frameworks import (
    ATTENTION_DIM,
    HAS,
    HEADS,
    OURS,
    PEERS,
    PLAIN,
    SEQUENCE,
    Case,
)
from ctr.race import Entry, Race, contender
from harness.contenders import OutOfTheRace, Process
from harness.scratch import scratch
from harness.turns import Rate, Turn, in_rounds, summary
from rokkit.evaluation import auc

HALF = "-bf16"  # at the end of an optimizer's name: under bfloat16 autocast
ADAGRAD_RATE = 1e-2  # row-adagrad's learning rate, and that of the dense part beside it
QUICK_STEPS = 4
TABLE_BATCH = 512  # of which the goal is
HELD_OUT = 0.5  # val and test rows, each, of the training rows
FEW = 1024  # val and test rows where nothing is made of them
# Variants of ours that do other work than the peers: they are listed, and count for no goal.
OTHER_WORK = {"sim": {"unit": "DIN's units", "hard": "DIN's units, hard search"}}
SAID = {
    "sim": "Ours and FuxiCTR search softly and attend to both parts by scaled products, "
    f"projections of values and of the outcome included: heads {HEADS}, width {ATTENTION_DIM}. "
    "FuxiCTR's search has that width too, ours 32, and its auxiliary MLP 64 more inputs. "
    "Rows of ours with DIN's units do other work, as does hard search; no goal counts them."
}


def variants(asked: argparse.Namespace, model: str, batch: int) -> list[tuple[str, str, Case]]:
    """(name, framework, case) of all that train `model`, the reference first."""
    found = []
    for text in asked.ours:
        optimizer = text.removesuffix(HALF)
        rate = ADAGRAD_RATE if optimizer == "row-adagrad" else 1e-3
        case = Case(
            model=model,
            batch=batch,
            optimizer=optimizer,
            learning_rate=rate,
            amp=text.endswith(HALF),
        )
        found.append((f"ours, {text}", OURS, case))
    for variant, said in OTHER_WORK.get(model, {}).items():
        case = Case(model=model, batch=batch, optimizer="lazy-adam", variant=variant)
        found.append((f"{report.REFERENCE}, {said}", OURS, case))
    peers = [name for name in PEERS if name in asked.only and model in HAS[name]]
    return found + [(name, name, Case(model=model, batch=batch)) for name in peers]


def steps_of(asked: argparse.Namespace, model: str, batch: int) -> int:
    """Steps of a turn: some seconds of the slower peers."""
    if asked.quick:
        return QUICK_STEPS
    samples = 20_480 if model in SEQUENCE else 51_200
    return max(10, samples * (2 if batch > 512 else 1) // batch)


def arrays_in(
    folder: Path, asked: argparse.Namespace, rows: int, train: int, *, histories: bool, rest: int
) -> Path:
    """Made clicks of a world with `rows` feature rows."""
    folder.mkdir()
    parts = {"train": train, "val": rest, "test": rest}
    world = synth.World.of_rows(rows)
    synth.make(folder, parts, world=world, seed=asked.seed, histories=histories)
    return folder


def speed(asked: argparse.Namespace, model: str, batch: int) -> dict[str, Any]:
    """Samples per CPU-second and memory of all that have the model."""
    steps = steps_of(asked, model, batch)
    with scratch(asked.folder) as folder:
        sequence = model in SEQUENCE
        rows = asked.feature_rows
        arrays = arrays_in(
            folder / "arrays", asked, rows, steps * batch, histories=sequence, rest=FEW
        )
        entries = [
            Entry(name=name, framework=framework, case=case, arrays=arrays)
            for name, framework, case in variants(asked, model, batch)
        ]
        return raced(entries, folder, asked.rounds, report.REFERENCE) | {
            "steps": steps,
            "feature_rows": rows,
            "said": SAID.get(model, ""),
        }


def raced(entries: Sequence[Entry], folder: Path, rounds: int, reference: str) -> dict[str, Any]:
    """What a race of epochs finds; its first round is not counted."""
    with Race.of(entries, folder) as race:
        race.rounds("epoch", 1)
        replies = race.rounds("epoch", rounds)
        turns = {
            name: [Turn(one["units"], one["cpu"], one["wall"]) for one in held]
            for name, held in replies.items()
        }
        return {
            "speed": summary(turns, reference),
            "memory": {name: max(one["peak"] for one in held) for name, held in replies.items()},
            "parameters": {name: race.built[name]["parameters"] for name in replies},
            "versions": race.versions,
            "left_out": race.left_out,
        }


def table_size(asked: argparse.Namespace) -> dict[str, Any]:
    """DeepFM's step at tables of several sizes, ours and dense Adam in the same rounds."""
    batch, steps = (asked.batches[0], QUICK_STEPS) if asked.quick else (TABLE_BATCH, 20)
    with scratch(asked.folder) as folder:
        entries = []
        for rows in sorted(asked.table_rows):
            place = folder / f"arrays-{rows}"
            arrays = arrays_in(place, asked, rows, steps * batch, histories=False, rest=FEW)
            held = [one for one in variants(asked, "deepfm", batch) if one[1] == OURS]
            held.append((report.PLAIN, PLAIN, Case(model="deepfm", batch=batch)))
            entries += [
                Entry(
                    name=report.row_name(rows, name), framework=framework, case=case, arrays=arrays
                )
                for name, framework, case in held
                if not name.endswith(HALF)
            ]
        found = raced(entries, folder, asked.rounds, entries[0].name)
        return found | {"batch": batch, "steps": steps}


def imports(asked: argparse.Namespace) -> dict[str, Any]:
    """CPU-seconds until each is imported, in a new process every time."""
    names = [OURS, *(name for name in PEERS if name in asked.only)]
    with scratch(asked.folder) as folder:

        def once(name: str) -> float:
            with Process(contender(name), folder / name) as process:
                return float(process.ask("load")["cpu"])

        turns = {name: lambda n=name: once(n) for name in names}
        in_rounds(turns, 1)  # files come into the system's cache
        found, out = in_rounds(turns, asked.rounds)
        if OURS not in found:
            raise OutOfTheRace(out[OURS])
        seconds = {name: asdict(Rate.of(held)) for name, held in found.items()}
        return {"seconds": seconds, "left_out": list(out.values())}


def trained(
    asked: argparse.Namespace, model: str, keep: Callable[[Mapping[str, Any]], None]
) -> None:
    """Test metrics of all that have the model, trained to early stopping with several seeds.

    What was found is kept after each seed: all of them take hours.
    """
    batch = asked.batches[0]
    out: dict[str, str] = {}
    held: dict[str, list[dict[str, Any]]] = {}
    with scratch(asked.folder) as folder:
        rest = int(HELD_OUT * asked.accuracy_rows)
        rows = asked.feature_rows
        place = arrays_in(
            folder / "arrays", asked, rows, asked.accuracy_rows, histories=True, rest=rest
        )
        arrays = Arrays.open(place)
        about = {
            "bayes": auc(arrays.y("test"), arrays.truth("test")),
            "rows": asked.accuracy_rows,
            "feature_rows": rows,
            "batch": batch,
        }
        for seed in range(asked.seeds):
            for name, framework, case in variants(asked, model, batch):
                if name in out:
                    continue
                entry = Entry(name=name, framework=framework, case=case, arrays=place)
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    try:
                        one = accuracy.trained(entry, seed, Path(own))
                    except OutOfTheRace as reason:
                        out[name] = str(reason)
                        continue
                held.setdefault(name, []).append(one)
                print(f"{model}, seed {seed}, {name}: {one['auc']:.4f}", file=sys.stderr)
            keep(about | {"trained": held, "left_out": list(out.values())})
