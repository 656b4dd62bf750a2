"""Where logs come from. Importing this package registers the sources that rokkit brings."""

from rokkit.data.sources import alipay, journey, movielens, own, taobao, tmall, twin
from rokkit.data.sources.base import (
    REGISTRY,
    Source,
    SourceOptions,
    list_sources,
    location,
    register_source,
)

__all__ = [
    "REGISTRY",
    "Source",
    "SourceOptions",
    "alipay",
    "journey",
    "list_sources",
    "location",
    "movielens",
    "own",
    "register_source",
    "taobao",
    "tmall",
    "twin",
]
