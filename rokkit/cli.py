"""The command `rokkit`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import rokkit
from rokkit.commands import bench, claims, data, doctor, export, models, run, table, tune
from rokkit.errors import RokkitError

EXAMPLES = """examples:
  rokkit doctor                                  can this machine do the work?
  rokkit data describe movielens                 the data card, and Table 1
  rokkit run --params params/movielens.yaml      the main job: every notebook
  rokkit table --params params/movielens.yaml    its tables again, from the run folders"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. 0: done; 1: something failed on the way; 2: it cannot be done as asked."""
    options = parser().parse_args(argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("rokkit").setLevel(logging.INFO)
    try:
        code: int = options.run(options)
        sys.stdout.flush()  # here, where a reader that left is expected
        return code
    except RokkitError as error:
        if options.debug:
            raise
        print(f"rokkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, and the same command goes on from there")
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    made = argparse.ArgumentParser(
        prog="rokkit",
        description="A workbench for retrieval-enhanced click-through-rate prediction.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"rokkit {rokkit.__version__}")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for one in (data, run, tune, models, table, claims, export, bench, doctor):
        one.add(commands)
    return made


if __name__ == "__main__":
    raise SystemExit(main())
