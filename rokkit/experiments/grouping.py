"""Reports of a study, gathered by system."""

from collections.abc import Iterable

from rokkit.data import Samples, load
from rokkit.errors import ConfigError
from rokkit.experiments.report import Report
from rokkit.experiments.spec import DataSpec
from rokkit.experiments.systems import system_name


def by_system(reports: Iterable[Report]) -> dict[str, list[Report]]:
    """The models among `reports` by system, in order of appearance, each by seed.

    Raises ConfigError if a system has two runs with the same seed: a sweep over another setting
    would be averaged away.
    """
    found: dict[str, list[Report]] = {}
    for report in reports:
        if report.spec.model is not None:
            found.setdefault(system_name(report.spec), []).append(report)
    for system, held in found.items():
        held.sort(key=lambda r: r.spec.seed)
        seeds = [r.spec.seed for r in held]
        if len(set(seeds)) < len(seeds):
            raise ConfigError(
                f"{system} has seeds {seeds}; expected each once. Runs that differ in another "
                "setting need a table of their own."
            )
    return found


def samples_of(data: DataSpec) -> Samples:
    """The samples that a run was trained and measured on."""
    return load(data.name, **dict(data.options))
