"""`rokkit data`: the data sets, their samples and their cards."""

import argparse
import time
from typing import Any

from rokkit.commands.common import columns, command


def add(commands: Any) -> None:
    """Declare `data` and its four commands."""
    parser = command(
        commands,
        "data",
        None,
        about="list, fetch, build and describe data sets",
        examples=("rokkit data list", "rokkit data describe movielens"),
    )
    own = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    command(
        own,
        "list",
        _list,
        about="list the data sets, and whether their raw files and samples are there",
        examples=("rokkit data list",),
    )
    fetch = command(
        own,
        "fetch",
        _fetch,
        about="download the raw files of a data set that can be downloaded",
        examples=("rokkit data fetch movielens",),
    )
    fetch.add_argument("name", help="data set")
    build = command(
        own,
        "build",
        _build,
        about="build the samples of a data set, unless they are there",
        examples=(
            "rokkit data build movielens --option train_rows=80000",
            "rokkit data build movielens --option path=~/ml-1m --option split=global",
            "rokkit data build journey --option users=200",
        ),
    )
    describe = command(
        own,
        "describe",
        _describe,
        about="show the data card and Table 1, ours beside the paper's",
        examples=(
            "rokkit data describe journey",
            "rokkit data describe movielens --option train_rows=80000",
        ),
    )
    for one in (build, describe):
        one.add_argument("name", help="data set")
        one.add_argument(
            "--option",
            metavar="NAME=VALUE",
            action="append",
            default=[],
            help="option of the data set; may be given again",
        )


def _list(options: argparse.Namespace) -> int:
    from rokkit.data import list_sources, plan
    from rokkit.data.sources import REGISTRY
    from rokkit.errors import DataError
    from rokkit.paths import data_root

    rows = [("name", "raw files", "samples", "what")]
    for name in list_sources():
        try:
            plan(name)
            raw = "there"
        except DataError:
            raw = "missing"
        built = len(list((data_root() / "samples").glob(f"{name}-*/card.json")))
        rows.append((name, raw, f"{built} built", REGISTRY.entry(name).meta["title"]))
    print(columns(rows))
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from rokkit.data.sources import REGISTRY
    from rokkit.paths import shown

    path = REGISTRY.get(options.name)().fetch()
    print(f"{options.name}: {shown(path)}")
    return 0


def _build(options: argparse.Namespace) -> int:
    from rokkit.paths import shown
    from rokkit.progress import span

    start = time.monotonic()
    there, samples = _load(options)
    counts = ", ".join(f"{k} {len(samples.part(k)):,}" for k in ("pool", "train", "val", "test"))
    how = "were there already" if there else f"built in {span(time.monotonic() - start)}"
    print(f"{options.name}: {counts}\nsamples {how}: {shown(samples.folder)}")
    return 0


def _describe(options: argparse.Namespace) -> int:
    from rokkit.experiments import card_table, data_table, parts_table
    from rokkit.paths import shown

    _, samples = _load(options)
    print(columns(card_table(samples).texts()))
    print()
    print(parts_table(samples).markdown())
    print()
    print(data_table(samples).markdown())
    print(f"\nsamples: {shown(samples.folder)}")
    return 0


def _load(options: argparse.Namespace) -> tuple[bool, Any]:
    """(whether the samples were there, the samples)."""
    from rokkit.config import options as pairs
    from rokkit.data import plan
    from rokkit.data.build import open_or_build

    wanted = plan(options.name, pairs(options.option, where="--option"))
    there = wanted.folder.is_dir()
    return there, open_or_build(wanted)
