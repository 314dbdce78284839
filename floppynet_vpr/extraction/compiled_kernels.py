# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The whole network as one compiled function that any number of threads may run together.

Import this module only where numba is wanted. The network is data (`compiled_plan`): the
function goes through its stages task by task, a task being some patches of one stage with all
its filters. Threads draw tasks from a counter and wait, before the first task of a stage, until
all tasks of the stages before it are done. So a thread that comes late, or not at all, costs time
and nothing else, and one thread alone needs no other code.
"""

# numba takes its types from the values that come in.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import from_dtype, njit, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from floppynet_vpr.extraction.compiled_plan import PATCHES, STAGE
from floppynet_vpr.extraction.vector_code import (
    GROUP,
    BlockOperands,
    emit_bits_at_least,
    emit_block,
    emit_pool,
    vector_target,
)

_TRIPLE, _, _FEATURES = cpu_target.target_context.codegen().magic_tuple()
TARGET = vector_target(_TRIPLE, _FEATURES)
"""How blocks are made for this CPU; part of numba's cache key by way of the CPU's features."""
# Their own types do not say what becomes of a function.
_njit: Any = njit
_intrinsic: Any = intrinsic
_BLOCKS = GROUP // TARGET.filters
_FILTERS = TARGET.filters
_NEXT, _DONE = 0, 1


def _data(context: Any, builder: Any, signature: Any, arguments: Any, index: int) -> Any:
    """The address of an array argument's first value."""
    array = context.make_array(signature.args[index])(context, builder, arguments[index])
    return array.data


def _block_intrinsic(product: str) -> Any:
    @_intrinsic
    def block(
        typing,
        maps,
        tables,
        starts,
        reach,
        reach_rows,
        offsets,
        chunks,
        run,
        filters,
        first,
        sums,
        at,
    ):
        signature = types.void(
            maps, tables, starts, reach, reach_rows, offsets, chunks, run, filters, first, sums, at
        )

        def generate(context, builder, signature, arguments):
            def address(array: int, position: Any) -> Any:
                data = _data(context, builder, signature, arguments, array)
                return builder.gep(data, [position])

            _, _, starts, reach, reach_rows, offsets, chunks, run, _, first, _, at = arguments
            index = run.type
            patches, rows = [], []
            for patch in range(PATCHES):
                start = builder.load(address(1, builder.add(starts, index(patch))))
                patches.append(address(0, builder.sext(start, index)))
                row = builder.load(address(1, builder.add(reach_rows, index(patch))))
                rows.append(address(1, builder.add(builder.sext(row, index), reach)))
            operands = BlockOperands(
                patches, rows, address(1, offsets), chunks, run, address(8, first), address(10, at)
            )
            emit_block(builder, TARGET, product, operands)
            return context.get_dummy_value()

        return signature, generate

    return block


_pixel_block = _block_intrinsic(TARGET.pixels)
_bit_block = _block_intrinsic(TARGET.bits)


@_intrinsic
def _bits_at_least(typing, sums, at, tables, thresholds):
    signature = types.uint32(sums, at, tables, thresholds)

    def generate(context, builder, signature, arguments):
        places = [
            builder.gep(_data(context, builder, signature, arguments, i), [arguments[i + 1]])
            for i in (0, 2)
        ]
        return emit_bits_at_least(builder, *places)

    return signature, generate


def _atomic_intrinsic(operation: str) -> Any:
    """Make `f(counters, index, value)`, which changes a shared counter and returns what it was."""

    @_intrinsic
    def change(typing, state, index, value):
        signature = types.int64(state, types.int64, types.int64)

        def generate(context, builder, signature, arguments):
            data = _data(context, builder, signature, arguments, 0)
            place = builder.gep(data, [arguments[1]])
            return builder.atomic_rmw(operation, place, arguments[2], "seq_cst")

        return signature, generate

    return change


_add = _atomic_intrinsic("add")
_set = _atomic_intrinsic("xchg")


@_intrinsic
def _let_others_run(typing):
    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


@_njit(nogil=True)
def _wait_for(state, tasks):
    while _add(state, _DONE, 0) < tasks:
        _let_others_run()


@_intrinsic
def _pool(typing, sums):
    def generate(context, builder, signature, arguments):
        emit_pool(builder, _data(context, builder, signature, arguments, 0))
        return context.get_dummy_value()

    return types.void(sums), generate


@_njit(nogil=True)
def _run_task(stage, task, maps, filters, tables, pool5, sums):
    first = (task - stage.first_task) * stage.groups_per_task
    end = min(first + stage.groups_per_task, stage.groups)
    # Copies, so that the compiler knows that nothing below changes them.
    pixels, pooled, last = stage.pixels, stage.pooled, stage.last
    chunks, run, offsets, words = stage.chunks, stage.run, stage.offsets, stage.filters // GROUP
    at, size = stage.filters_at, chunks * run * _FILTERS
    starts, rows, outputs = stage.starts, stage.reach_rows, stage.outputs
    thresholds, flips = stage.thresholds, stage.flips
    for word in range(words):
        reach = stage.reach + word * GROUP
        for patch in range(first * PATCHES, end * PATCHES, PATCHES):
            for block in range(_BLOCKS):
                filters_at = at + (word * _BLOCKS + block) * size
                column = block * _FILTERS
                if pixels:
                    _pixel_block(
                        maps, tables, starts + patch, reach + column, rows + patch,
                        offsets, chunks, run, filters, filters_at, sums, column,
                    )  # fmt: skip
                else:
                    _bit_block(
                        maps, tables, starts + patch, reach + column, rows + patch,
                        offsets, chunks, run, filters, filters_at, sums, column,
                    )  # fmt: skip
            if pooled:
                _pool(sums)
            for p in range(1 if pooled else PATCHES):
                out = tables[outputs + patch + p] + (word * GROUP if last else word)
                if last:
                    for f in range(GROUP):
                        pool5[out + f] = sums[p * GROUP + f]
                else:
                    bits = _bits_at_least(sums, p * GROUP, tables, thresholds + word * GROUP)
                    maps[out] = bits ^ np.uint32(tables[flips + word])


def begin(state):
    """Open the counters of a new image; helpers may start from here on.

    The order matters: a helper still on its way from the last image draws a task as soon as
    there are some, and must not have counted it before the count starts at 0.
    """
    _set(state, _DONE, 0)
    _set(state, _NEXT, 0)


def run_tasks(stages, maps, filters, tables, pool5, state, lead):
    """Do tasks until none is left; the leading thread stays until all are done."""
    sums = np.empty(PATCHES * GROUP, np.int32)
    final = stages[len(stages) - 1]
    tasks = final.first_task + final.tasks
    current = 0
    task = _add(state, _NEXT, 1)
    while task < tasks:
        while task >= stages[current].first_task + stages[current].tasks:
            current += 1
        _wait_for(state, stages[current].first_task)
        _run_task(stages[current], task, maps, filters, tables, pool5, sums)
        _add(state, _DONE, 1)
        task = _add(state, _NEXT, 1)
    if lead:
        _wait_for(state, tasks)


_STATE = types.int64[::1]
SIGNATURES = {
    begin: types.void(_STATE),
    run_tasks: types.void(
        from_dtype(STAGE)[::1],
        types.uint32[::1],
        types.uint32[::1],
        types.int32[::1],
        types.int16[::1],
        _STATE,
        types.boolean,
    ),
}
"""The functions to compile and the types they are compiled for."""
