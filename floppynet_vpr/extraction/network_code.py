# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The whole network as one native function that any number of threads may run together.

The network is data (`compiled_plan`): the function goes through its stages task by task, a task
being some patches of one stage with all its filters. Threads draw tasks from a counter and wait,
before the first task of a stage, until all tasks of the stages before it are done. So a thread
that comes late, or not at all, costs time and nothing else, and one thread alone needs no other
code.

It is written as LLVM instructions, around the blocks of `vector_code`. What it says is

    while (task = next++) < all tasks:
        go to the task's stage; wait until the stages before it are done
        for each word of 32 filters:
            for each group of four patches of the task:
                sums = the block's; pool them; compare them; store a word of bits (or the sums)
        done++
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]

from floppynet_vpr.extraction.compiled_plan import PATCHES, STAGE, STATE_SIZE
from floppynet_vpr.extraction.ir_blocks import (
    I16,
    I32,
    I64,
    count,
    load,
    load_index,
    repeat_while,
    store,
    variable,
)
from floppynet_vpr.extraction.vector_code import (
    GROUP,
    BlockOperands,
    VectorTarget,
    emit_bits_at_least,
    emit_block,
    emit_pool,
)

BEGIN, RUN_TASKS = "begin", "run_tasks"
"""Names of the functions: `begin(state)` opens the counters of a new image; see `_RunTasks`."""
_NEXT, _DONE = range(STATE_SIZE)
_SUMS_ALIGNMENT = 64


def network_code(target: VectorTarget, sched_yield: int) -> str:
    """Write the module for `target`; `sched_yield` is the address of that C function."""
    module = ir.Module("floppynet_vpr")
    _emit_begin(module)
    _RunTasks(module, target, sched_yield).emit()
    return str(module)


def _emit_begin(module: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer()])
    function = ir.Function(module, kind, BEGIN)
    builder = ir.IRBuilder(function.append_basic_block())
    # The order matters: a helper still on its way from the last image draws a task as soon as
    # there are some, and must not have counted it before the count starts at 0.
    for counter in (_DONE, _NEXT):
        place = builder.gep(function.args[0], [I64(counter)])
        builder.atomic_rmw("xchg", place, I64(0), "seq_cst")
    builder.ret_void()


class _RunTasks:
    """Writes `run_tasks(stages, number of stages, maps, filters, tables, pool5, state, lead)`.

    It does tasks until none is left; the leading thread stays until all are done.
    """

    def __init__(self, module: Any, target: VectorTarget, sched_yield: int) -> None:
        arrays = [kind.as_pointer() for kind in (I32, I32, I32, I16, I64)]
        kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer(), I64, *arrays, I64])
        function = ir.Function(module, kind, RUN_TASKS)
        self.stages, self.number, self.maps, self.filters = function.args[:4]
        self.tables, self.pool5, self.state, self.lead = function.args[4:]
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.target = target
        yield_type = ir.FunctionType(I32, []).as_pointer()
        self.sched_yield = self.builder.inttoptr(I64(sched_yield), yield_type)
        self.sums = self.builder.alloca(I32, PATCHES * GROUP)
        self.sums.align = _SUMS_ALIGNMENT

    def emit(self) -> None:
        builder = self.builder
        final = builder.sub(self.number, I64(1))
        tasks = self._end_of(final)
        current = variable(builder, I64(0))
        draw, run, finish = (builder.append_basic_block(n) for n in ("draw", "run", "finish"))
        builder.branch(draw)

        builder.position_at_end(draw)
        task = self._add(_NEXT, 1)
        builder.cbranch(builder.icmp_signed("<", task, tasks), run, finish)

        builder.position_at_end(run)
        with repeat_while(
            builder, lambda: builder.icmp_signed(">=", task, self._end_of(builder.load(current)))
        ):
            builder.store(builder.add(builder.load(current), I64(1)), current)
        stage = builder.load(current)
        self._wait_for(self._field(stage, "first_task"))
        self._emit_task(stage, task)
        self._add(_DONE, 1)
        builder.branch(draw)

        builder.position_at_end(finish)
        with builder.if_then(builder.icmp_signed("!=", self.lead, I64(0))):
            self._wait_for(tasks)
        builder.ret_void()

    def _emit_task(self, stage: Any, task: Any) -> None:
        builder = self.builder
        field = {name: self._field(stage, name) for name in STAGE.names or ()}
        each = field["groups_per_task"]
        first = builder.mul(builder.sub(task, field["first_task"]), each)
        end = builder.add(first, each)
        end = builder.select(builder.icmp_signed("<", end, field["groups"]), end, field["groups"])
        start, stop = (builder.mul(group, I64(PATCHES)) for group in (first, end))
        with (
            count(builder, I64(0), builder.sdiv(field["filters"], I64(GROUP))) as word,
            count(builder, start, stop, PATCHES) as patch,
        ):
            self._emit_blocks(field, word, patch)
            self._emit_outputs(field, word, patch)

    def _emit_blocks(self, field: dict[str, Any], word: Any, patch: Any) -> None:
        """Fill the sums of `GROUP` filters, those of `word`, with four patches from `patch` on."""
        builder = self.builder
        blocks = GROUP // self.target.filters
        weights = builder.mul(field["chunks"], field["run"])
        size = builder.mul(weights, I64(self.target.filters))
        with count(builder, I64(0), I64(blocks)) as block:
            column = builder.mul(block, I64(self.target.filters))
            index = builder.add(builder.mul(word, I64(blocks)), block)
            filters_at = builder.add(field["filters_at"], builder.mul(index, size))
            reach = builder.add(builder.mul(word, I64(GROUP)), column)
            reach = builder.add(field["reach"], reach)
            starts, rows = [], []
            for p in range(PATCHES):
                at = builder.add(patch, I64(p))
                start = load_index(builder, self.tables, builder.add(field["starts"], at))
                starts.append(builder.gep(self.maps, [start]))
                row = load_index(builder, self.tables, builder.add(field["reach_rows"], at))
                rows.append(builder.gep(self.tables, [builder.add(row, reach)]))
            operands = BlockOperands(
                starts,
                rows,
                builder.gep(self.tables, [field["offsets"]]),
                field["chunks"],
                field["run"],
                builder.gep(self.filters, [filters_at]),
                builder.gep(self.sums, [column]),
            )
            with builder.if_else(self._is_set(field["pixels"])) as (pixels, bits):
                with pixels:
                    emit_block(builder, self.target, self.target.pixels, operands)
                with bits:
                    emit_block(builder, self.target, self.target.bits, operands)

    def _emit_outputs(self, field: dict[str, Any], word: Any, patch: Any) -> None:
        builder = self.builder
        pooled = self._is_set(field["pooled"])
        with builder.if_then(pooled):
            emit_pool(builder, self.sums)
        outputs = builder.select(pooled, I64(1), I64(PATCHES))
        channel = builder.mul(word, I64(GROUP))
        with count(builder, I64(0), outputs) as p:
            at = builder.add(field["outputs"], builder.add(patch, p))
            output = load_index(builder, self.tables, at)
            sums = builder.gep(self.sums, [builder.mul(p, I64(GROUP))])
            with builder.if_else(self._is_set(field["last"])) as (last, middle):
                with last:
                    values = load(builder, sums, I64(0), ir.VectorType(I32, GROUP))
                    values = builder.trunc(values, ir.VectorType(I16, GROUP))
                    store(builder, values, self.pool5, builder.add(output, channel))
                with middle:
                    thresholds = builder.add(field["thresholds"], channel)
                    thresholds = builder.gep(self.tables, [thresholds])
                    bits = emit_bits_at_least(builder, sums, thresholds)
                    flips = load(builder, self.tables, builder.add(field["flips"], word))
                    bits = builder.xor(bits, flips)
                    store(builder, bits, self.maps, builder.add(output, word))

    def _field(self, stage: Any, name: str) -> Any:
        names = STAGE.names or ()
        index = self.builder.mul(stage, I64(len(names)))
        index = self.builder.add(index, I64(names.index(name)))
        return load(self.builder, self.stages, index)

    def _end_of(self, stage: Any) -> Any:
        """The task behind a stage's last one."""
        return self.builder.add(self._field(stage, "first_task"), self._field(stage, "tasks"))

    def _is_set(self, flag: Any) -> Any:
        return self.builder.icmp_signed("!=", flag, I64(0))

    def _add(self, counter: int, value: int) -> Any:
        """Add to a counter that threads share; gives what it was."""
        place = self.builder.gep(self.state, [I64(counter)])
        return self.builder.atomic_rmw("add", place, I64(value), "seq_cst")

    def _wait_for(self, tasks: Any) -> None:
        """Let other threads run until `tasks` tasks are done."""
        builder = self.builder
        with repeat_while(builder, lambda: builder.icmp_signed("<", self._add(_DONE, 0), tasks)):
            builder.call(self.sched_yield, [])
