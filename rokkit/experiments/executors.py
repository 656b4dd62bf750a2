"""Where runs go: this machine, or a Dask cluster that the user has started.

A cluster's workers need this environment (`pip install rokkit[dask]`) and the same data, runs and
results folders, at the same paths: a shared disk, and `ROKKIT_DATA` and `ROKKIT_RUNS` where they
are not those of the project. A worker that dies gives its run back to the cluster, which hands it
to another; there it goes on from its checkpoint.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from rokkit.errors import ConfigError, unknown_name

SCHEMES = ("dask",)
SECONDS_TO_CONNECT = 20
RETRIES = 3  # of a run whose worker died, beyond what the cluster itself tries again


def check_executor(address: str) -> None:
    """ConfigError unless `address` is empty or reads `dask://host:port`."""
    if not address:
        return
    scheme, there, place = address.partition("://")
    if not there or not place:
        raise ConfigError(f"executor is {address!r}; expected empty or dask://host:port.")
    if scheme not in SCHEMES:
        raise ConfigError("executor: " + unknown_name("scheme", scheme, SCHEMES))
    host, colon, port = place.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise ConfigError(f"executor is {address!r}; expected a host and a port, dask://host:port.")


@contextmanager
def opened(address: str) -> Iterator[Executor | None]:
    """The executor at `address` while the block lasts; None for an empty one: this machine.

    Raises ConfigError for an address that cannot be read, where Dask is not installed, and where
    nobody answers.
    """
    check_executor(address)
    if not address:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError(
            f"executor is {address!r} and Dask is not installed: pip install rokkit[dask]."
        ) from None
    place = address.partition("://")[2]
    try:
        client = Client(f"tcp://{place}", timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except OSError as error:
        raise ConfigError(
            f"nobody answers at {address} ({error}). Start a cluster: dask scheduler --port "
            f"{place.rpartition(':')[2]}, and dask worker {place} on each machine."
        ) from None
    with client, client.get_executor(pure=False, retries=RETRIES) as executor:
        yield executor
