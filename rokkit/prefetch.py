"""A hint to the processor, for compiled loops over rows that lie anywhere in memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray


def _prefetch(_: Any, array: Any, place: Any) -> Any:
    """Type and code of `prefetch(array, place)`, place along its first axis: load, do not wait."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        held = context.make_array(kind)(context, builder, arguments[0])
        index = context.cast(builder, arguments[1], signature.args[1], types.intp)
        begin = [context.get_constant(types.intp, 0)] * (kind.ndim - 1)
        pointer = cgutils.get_item_pointer(context, builder, kind, held, [index, *begin])
        whole = ir.IntType(32)
        address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        form = ir.FunctionType(ir.VoidType(), [address.type, whole, whole, whole])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [address.type], form)
        # A read, to be kept in every cache level, of data.
        builder.call(hint, [address, whole(0), whole(3), whole(1)])
        return context.get_dummy_value()

    return types.void(array, place), generate


prefetch: Callable[[NDArray[Any], np.int64 | int], None] = intrinsic(_prefetch)
