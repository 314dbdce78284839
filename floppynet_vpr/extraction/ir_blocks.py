# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Loops, variables and calls for code that is written as LLVM instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


@contextmanager
def repeat_while(builder: Any, condition: Callable[[], Any]) -> Iterator[None]:
    """Write a loop: the code in the `with` runs as long as the code of `condition` gives 1."""
    test = builder.append_basic_block("test")
    body = builder.append_basic_block("body")
    done = builder.append_basic_block("done")
    builder.branch(test)
    builder.position_at_end(test)
    builder.cbranch(condition(), body, done)
    builder.position_at_end(body)
    yield
    builder.branch(test)
    builder.position_at_end(done)


@contextmanager
def count(builder: Any, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    """Write a loop: the code in the `with` runs for an int64 from `start` to below `stop`."""
    counter = variable(builder, start)
    with repeat_while(builder, lambda: builder.icmp_signed("<", builder.load(counter), stop)):
        value = builder.load(counter)
        yield value
        builder.store(builder.add(value, I64(step)), counter)


def variable(builder: Any, value: Any) -> Any:
    """Make a local variable that begins as `value`; LLVM keeps it in a register if it can."""
    with builder.goto_entry_block():
        place = builder.alloca(value.type)
    builder.store(value, place)
    return place


def call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions, which needs no definition."""
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(result, [value.type for value in arguments])
        function = ir.Function(builder.module, kind, name)
    return builder.call(function, arguments)


def load(builder: Any, pointer: Any, index: Any, kind: Any = None) -> Any:
    """Load `pointer[index]`, or a vector of type `kind` that begins there."""
    place = builder.gep(pointer, [index])
    if kind is None:
        return builder.load(place)
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=1)


def store(builder: Any, value: Any, pointer: Any, index: Any) -> None:
    """Store a value, or a vector from there on, at `pointer[index]`."""
    place = builder.bitcast(builder.gep(pointer, [index]), value.type.as_pointer())
    builder.store(value, place, align=1)


def load_index(builder: Any, table: Any, index: Any) -> Any:
    """Load an int32 of a table as an index, an int64."""
    return builder.sext(load(builder, table, index), I64)
