"""From a raw log to samples."""

from .batch import Batch
from .build import Plan, load, plan
from .log import EventLog, ImpressionLog, LogField, Origin
from .negatives import Negatives
from .samples import History, Part, Samples
from .schema import Field, Schema
from .sources import (
    Source,
    SourceOptions,
    list_sources,
    location,
    register_source,
)
from .splits import CutPoints, GlobalShares, PerUser, Shares

__all__ = [
    "Batch",
    "CutPoints",
    "EventLog",
    "Field",
    "GlobalShares",
    "History",
    "ImpressionLog",
    "LogField",
    "Negatives",
    "Origin",
    "Part",
    "PerUser",
    "Plan",
    "Samples",
    "Schema",
    "Shares",
    "Source",
    "SourceOptions",
    "list_sources",
    "load",
    "location",
    "plan",
    "register_source",
]
