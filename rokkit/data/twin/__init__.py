"""Twins: made logs in the exact raw formats of tmall, taobao and alipay, of any size."""

from rokkit.data.twin.formats import FORMATS, FormatName
from rokkit.data.twin.options import Quirks, TwinOptions
from rokkit.data.twin.report import TwinReport
from rokkit.data.twin.structure import Structure
from rokkit.data.twin.write import write_twin

__all__ = [
    "FORMATS",
    "FormatName",
    "Quirks",
    "Structure",
    "TwinOptions",
    "TwinReport",
    "write_twin",
]
