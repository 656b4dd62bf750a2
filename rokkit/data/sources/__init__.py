"""Where logs come from. Importing this package registers the sources that rokkit brings."""

from rokkit.data.sources import alipay, journey, movielens, taobao, tmall
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
    "register_source",
    "taobao",
    "tmall",
]
