"""What compiled code asks of the processor itself: numbers that threads share, and memory ahead of its use."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_intrinsic: Any = intrinsic
LINE, MOST = 64, 192  # bytes: a line of memory; what is fetched of an item at most


def _place(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    made = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, made, [at], wraparound=False)


@_intrinsic
def load(typing: Any, array: Any, at: Any) -> Any:
    """array[at] as another thread has stored it last, and all that it wrote before that."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _place(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(where, "acquire", 8)

    return types.int64(array, types.int64), generate


@_intrinsic
def store(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """array[at] = value, to be seen by :func:`load` after all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _place(context, builder, signature.args[0], *arguments[:2])
        builder.store_atomic(arguments[2], where, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@_intrinsic
def take(typing: Any, array: Any, at: Any) -> Any:
    """array[at], which becomes one more: no two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _place(context, builder, signature.args[0], *arguments)
        return builder.atomic_rmw("add", where, ir.Constant(ir.IntType(64), 1), "acq_rel")

    return types.int64(array, types.int64), generate


@_intrinsic
def fetch(typing: Any, array: Any, at: Any) -> Any:
    """Bring the beginning of the item array[at] nearer to the processor; changes nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0i8"
        )
        start = builder.bitcast(_place(context, builder, signature.args[0], *arguments), byte)
        size = min(context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype)), MOST)
        for offset in sorted({*range(0, size, LINE), size - 1}):
            to_read, into_all_caches, data = (ir.Constant(number, n) for n in (0, 3, 1))
            where = builder.gep(start, [ir.Constant(number, offset)])
            builder.call(prefetch, [where, to_read, into_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@_intrinsic
def invoke(typing: Any, function: Any, values: Any, at: Any, parameters: Any, start: Any) -> Any:
    """Call the machine code at address ``function`` with the addresses of values[at] and parameters[start]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        both = [
            builder.bitcast(_place(context, builder, signature.args[k], arguments[k], arguments[k + 1]), byte)
            for k in (1, 3)
        ]
        call = ir.FunctionType(ir.VoidType(), [byte, byte]).as_pointer()
        builder.call(builder.inttoptr(arguments[0], call), both)
        return context.get_dummy_value()

    return types.void(types.int64, values, types.int64, parameters, types.int64), generate
