"""From a raw log to samples."""

from rokkit.data.batch import Batch
from rokkit.data.build import Plan, load, plan
from rokkit.data.log import EventLog, ImpressionLog, LogField, Origin
from rokkit.data.negatives import Negatives
from rokkit.data.samples import History, Part, Samples
from rokkit.data.schema import Field, Schema
from rokkit.data.sources import (
    Source,
    SourceOptions,
    list_sources,
    location,
    register_source,
)
from rokkit.data.splits import CutPoints, GlobalShares, PerUser, Shares

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
