"""What the inference benchmark measures, case by case. `asked` are the script's arguments."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ctr import synth
from ctr.frameworks import HAS, OURS, PEERS, Case
from ctr.inference_page import FORMS, KNOWLEDGE, OURS_NAMES, RIM, ours_name
from ctr.race import Entry, Race, Reply
from harness.scratch import scratch
from harness.turns import Rate

FEW_CALLS = 3  # of a large batch, that are not counted


def measured(asked: argparse.Namespace, model: str) -> dict[int, dict[str, Any]]:
    """By batch: milliseconds of an answer by all that have `model`, and bytes that it takes.

    DIN's race holds DIN with knowledge and RIM too: they are compared with it.
    """
    with scratch(asked.folder) as folder:
        few, test = 512, max(asked.batches) + 256
        small = _arrays(folder / "arrays", asked, {"train": few, "val": few, "test": test})
        entries = [
            Entry(name=name, framework=framework, case=case, arrays=small)
            for name, framework, case in _variants(asked, model)
        ]
        if model == "din" and RIM in asked.models:
            pool = {"train": asked.pool_rows, "val": few, "test": test}
            searched = _arrays(folder / "pool", asked, pool)
            case = Case(model="rim")
            entries.append(Entry(name=OURS_NAMES[RIM], framework=OURS, case=case, arrays=searched))
        with Race.of(entries, folder) as race:
            return {batch: _at(race, asked, batch) for batch in asked.batches}


def _at(race: Race, asked: argparse.Namespace, batch: int) -> dict[str, Any]:
    calls = asked.calls if batch == 1 else max(5, asked.calls // 25)
    how = {"calls": calls, "warm_up": calls if batch == 1 else FEW_CALLS, "batch": batch}
    replies = race.rounds("latency", asked.rounds, dict.fromkeys(race.running, how))
    return {
        "latency": {name: latencies(held) for name, held in replies.items()},
        "bytes": {name: held[-1]["bytes"] for name, held in replies.items() if held[-1]["bytes"]},
        "batch": batch,
        "feature_rows": asked.feature_rows,
        "pool_rows": asked.pool_rows,
        "versions": race.versions,
        "left_out": list(race.left_out),
    }


def latencies(replies: Sequence[Reply]) -> dict[str, Any]:
    """What the rounds of one contender come to; the rounds themselves for ratios."""
    stages = {
        stage: asdict(Rate.of([one["stages"][stage] for one in replies]))
        for stage in replies[0]["stages"]
    }
    return {
        "p50": asdict(Rate.of([one["p50"] for one in replies])),
        "p99": asdict(Rate.of([one["p99"] for one in replies])),
        "stages": stages,
        "rows": replies[0]["rows"],
        "calls": replies[0]["calls"],
        "rounds": [{"p50": one["p50"], "forward": one["stages"]["forward"]} for one in replies],
        "peak": max(one["peak"] for one in replies),
    }


def _variants(asked: argparse.Namespace, model: str) -> list[tuple[str, str, Case]]:
    """(name, framework, case) of all that answer in the race of `model`."""
    forms = [form for form in FORMS if form in asked.forms]
    ours = [model] + ([KNOWLEDGE] if model == "din" and KNOWLEDGE in asked.models else [])
    found = [
        (ours_name(one, form), OURS, Case(model=one, form=form)) for one in ours for form in forms
    ]
    peers = [name for name in PEERS if name in asked.only and model in HAS[name]]
    return found + [(name, name, Case(model=model)) for name in peers]


def _arrays(folder: Path, asked: argparse.Namespace, parts: Mapping[str, int]) -> Path:
    folder.mkdir()
    world = synth.World.of_rows(asked.feature_rows)
    synth.make(folder, dict(parts), world=world, seed=asked.seed)
    return folder
