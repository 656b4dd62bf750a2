"""`rokkit data`: the data sets, their samples and their cards."""

import argparse
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rokkit.commands.common import columns, command

if TYPE_CHECKING:
    from rokkit.data import Plan, Samples


def add(commands: Any) -> None:
    """Declare `data` and its five commands."""
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
    twin = command(
        own,
        "twin",
        _twin,
        about="write a made log in the raw format of tmall, taobao or alipay (docs/twin.md)",
        examples=(
            "rokkit data twin taobao --rows 1000000 --folder data/raw/made-taobao",
            "rokkit data twin tmall --folder made --option repeat_share=0 --option quirks.bom=true",
        ),
    )
    twin.add_argument("format", help="tmall, taobao or alipay")
    twin.add_argument("--rows", type=int, default=1_000_000, help="lines of the log")
    twin.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    twin.add_argument("--folder", required=True, help="a new folder for the raw files")
    build = command(
        own,
        "build",
        _build,
        about="build the samples of a data set, unless they are there",
        examples=(
            "rokkit data build movielens --option train_rows=80000",
            "rokkit data build movielens --option path=~/ml-1m --option split=global",
            "rokkit data build journey --option users=200",
            "rokkit data build --schema my.yaml --events my.parquet",
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
            "rokkit data describe --schema my.yaml --events my.parquet",
        ),
    )
    for one in (build, describe, twin):
        one.add_argument(
            "--option",
            metavar="NAME=VALUE",
            action="append",
            default=[],
            help="option of the data set, or knob of the twin; may be given again",
        )
    for one in (build, describe):
        one.add_argument(
            "name", nargs="?", help="data set; own, your own log, if --schema is given"
        )
        one.add_argument(
            "--schema", metavar="YAML", help="what the columns of your own log are (docs/data.md)"
        )
        one.add_argument(
            "--events", metavar="FILE", help="your own log: a csv, tsv or parquet file"
        )


def _list(options: argparse.Namespace) -> int:
    from rokkit.data import list_sources
    from rokkit.data.sources import REGISTRY
    from rokkit.paths import data_root

    rows = [("name", "raw files", "samples", "what")]
    for name in list_sources():
        raw = _raw(name)
        built = len(list((data_root() / "samples").glob(f"{name}-*/card.json")))
        rows.append((name, raw, f"{built} built", REGISTRY.entry(name).meta["title"]))
    print(columns(rows))
    return 0


def _raw(name: str) -> str:
    """Whether the raw files of a data set are there, in a word or two."""
    from rokkit.data import plan
    from rokkit.data.sources import REGISTRY
    from rokkit.errors import DataError

    comes = REGISTRY.get(name).raw
    if comes == "made":
        return "made when asked for"
    try:
        plan(name)
    except DataError:
        return "missing" if comes == "brought" else "yours to bring"
    return "there"


def _fetch(options: argparse.Namespace) -> int:
    from rokkit.data.sources import REGISTRY
    from rokkit.paths import shown

    path = REGISTRY.get(options.name)().fetch()
    print(f"{options.name}: {shown(path)}")
    return 0


def _twin(options: argparse.Namespace) -> int:
    from pathlib import Path

    from rokkit.config import build
    from rokkit.config import options as pairs
    from rokkit.data.twin import TwinOptions, write_twin
    from rokkit.paths import shown
    from rokkit.progress import Progress

    knobs: dict[str, Any] = {"format": options.format, "rows": options.rows, "seed": options.seed}
    for name, value in pairs(options.option, where="--option").items():
        group, dot, knob = name.partition(".")
        if dot:
            knobs.setdefault(group, {})[knob] = value
        else:
            knobs[name] = value
    wanted = build(TwinOptions, knobs, where=f"twin of {options.format}")
    folder = Path(options.folder).expanduser()
    with Progress(wanted.rows, f"twin of {wanted.format}") as bar:
        report = write_twin(wanted, folder, bar.update)
    files = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in report.files.items())
    print(f"{shown(folder)}: {files}")
    print(f"rows {report.rows:,}, users {report.users:,}, items {report.items:,}")
    print(f"samples of it: rokkit data build {wanted.format} --option path={shown(folder)}")
    return 0


def _build(options: argparse.Namespace) -> int:
    from rokkit.paths import shown
    from rokkit.progress import span

    start = time.monotonic()
    wanted = _wanted(options)
    there, samples = _load(wanted)
    counts = ", ".join(f"{k} {len(samples.part(k)):,}" for k in ("pool", "train", "val", "test"))
    how = "were there already" if there else f"built in {span(time.monotonic() - start)}"
    print(f"{wanted.name}: {counts}\nsamples {how}: {shown(samples.folder)}")
    if not there:
        _tell(samples.card)
    return 0


def _tell(card: Mapping[str, Any]) -> None:
    """What was dropped and what is worth knowing, after a build."""
    rows = [("dropped", f"{one['rows']:,}: {one['reason']}") for one in card["dropped"]]
    rows += [("repaired", f"{one['rows']:,}: {one['what']}") for one in card["repaired"]]
    rows += [("note", note) for note in card["notes"]]
    if rows:
        print(columns(rows))


def _describe(options: argparse.Namespace) -> int:
    from rokkit.experiments import card_table, data_table, parts_table, profile_table
    from rokkit.paths import shown

    _, samples = _load(_wanted(options))
    print(columns(card_table(samples).texts()))
    print()
    print(parts_table(samples).markdown())
    print()
    print(profile_table(samples).markdown())
    print()
    print(data_table(samples).markdown())
    print(f"\nsamples: {shown(samples.folder)}")
    return 0


def _wanted(options: argparse.Namespace) -> "Plan":
    """The samples that are asked for; ConfigError if no data set is named."""
    from rokkit.config import options as pairs
    from rokkit.data import plan
    from rokkit.errors import ConfigError

    given = pairs(options.option, where="--option")
    files = {k: v for k in ("schema", "events") if (v := getattr(options, k)) is not None}
    for name in files:
        if name in given:
            raise ConfigError(f"--{name} and --option {name}= say the same thing; give one.")
    if options.name is None and not files:
        raise ConfigError(
            "no data set is named. Give a name, such as journey (rokkit data list shows all), or "
            "--schema and --events for a log of your own."
        )
    if options.name not in (None, "own") and files:
        raise ConfigError(
            f"--schema and --events are for a log of your own; {options.name!r} takes neither. "
            "Leave the name out, or give the options of the data set with --option."
        )
    return plan(options.name or "own", given | files)


def _load(wanted: "Plan") -> "tuple[bool, Samples]":
    """(whether the samples were there, the samples)."""
    from rokkit.data.build import open_or_build

    there = wanted.folder.is_dir()
    return there, open_or_build(wanted)
