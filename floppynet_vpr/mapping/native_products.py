# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The loops of `cell_products` as LLVM instructions; import this module only where it is wanted.

What the code says of places in full, for 4 and for 8 bits:

    for each place:
        for each pair of cells:
            ones = 0
            for each bit, the highest first:
                ones = 2 * ones + popcount(query cell's plane xor place's cell)
            product = 256 * (2^bits - 1) - 2 * ones

and of sketches, a word of each cell:

    for each place:
        for each shift:
            ones = sum of popcount(query cell xor place's cell) over the shift's pairs
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]

from floppynet_vpr.extraction.ir_blocks import (
    I32,
    I64,
    call,
    count,
    load,
    load_index,
    store,
    variable,
)
from floppynet_vpr.extraction.native_code import compile_code
from floppynet_vpr.mapping.cells import CELL_BYTES, CELLS, CHANNELS

BITS = (4, 8)
_WORDS = CELL_BYTES // 8
_SKETCHES = "sketches"


@dataclass(frozen=True)
class NativeProducts:
    """The compiled functions, which release the interpreter's lock.

    `products` has one for each number of bits. Its arguments are the addresses of planes, signs,
    the pairs' two cells and the products, and between them the numbers of places and of pairs;
    those of `sketches` are the same with, for pairs, the shifts' number and first pairs.
    """

    products: Mapping[int, Callable[..., None]]
    sketches: Callable[..., None]
    engine: Any  # owns the functions' memory


@cache
def native_products() -> NativeProducts:
    """Compile, once a process."""
    module = ir.Module("cell_products")
    for bits in BITS:
        _emit(module, bits)
    _emit_sketches(module)
    engine = compile_code(str(module))
    address, size = ctypes.c_void_p, ctypes.c_int64
    products = ctypes.CFUNCTYPE(None, address, address, size, address, address, size, address)
    sketches = ctypes.CFUNCTYPE(
        None, address, address, size, address, address, address, size, address
    )
    return NativeProducts(
        {bits: products(engine.get_function_address(_name(bits))) for bits in BITS},
        sketches(engine.get_function_address(_SKETCHES)),
        engine,
    )


def _name(bits: int) -> str:
    return f"products_{bits}"


def _emit(module: Any, bits: int) -> None:
    """Write `products(planes, signs, places, query_cells, place_cells, pairs, out)`."""
    words, cells = I64.as_pointer(), I32.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [words, words, I64, cells, cells, I64, cells])
    function = ir.Function(module, kind, _name(bits))
    planes, signs, places, query_cells, place_cells, pairs, out = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    with count(builder, I64(0), places) as place:
        row = builder.gep(signs, [builder.mul(place, I64(CELLS * _WORDS))])
        target = builder.gep(out, [builder.mul(place, pairs)])
        with count(builder, I64(0), pairs) as pair:
            cell = builder.mul(load_index(builder, place_cells, pair), I64(_WORDS))
            code = [load(builder, row, builder.add(cell, I64(word))) for word in range(_WORDS)]
            first = builder.mul(load_index(builder, query_cells, pair), I64(bits * _WORDS))
            ones = I64(0)
            for bit in reversed(range(bits)):
                ones = builder.shl(ones, I64(1))
                for word, value in enumerate(code):
                    at = builder.add(first, I64(bit * _WORDS + word))
                    different = builder.xor(load(builder, planes, at), value)
                    counted = call(builder, "llvm.ctpop.i64", I64, [different])
                    ones = builder.add(ones, counted)
            most = I64(CHANNELS * ((1 << bits) - 1))
            product = builder.sub(most, builder.shl(ones, I64(1)))
            store(builder, builder.trunc(product, I32), target, pair)
    builder.ret_void()


def _emit_sketches(module: Any) -> None:
    """Write `sketches(query, places' words, places, query_cells, place_cells, first, shifts, out)`.

    `first` has an entry more than there are shifts, the number of pairs.
    """
    words, cells = I64.as_pointer(), I32.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [words, words, I64, cells, cells, words, I64, cells])
    function = ir.Function(module, kind, _SKETCHES)
    query, sketches, places, query_cells, place_cells, first, shifts, out = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    with count(builder, I64(0), places) as place:
        row = builder.gep(sketches, [builder.mul(place, I64(CELLS))])
        target = builder.gep(out, [builder.mul(place, shifts)])
        with count(builder, I64(0), shifts) as shift:
            ones = variable(builder, I64(0))
            end = load(builder, first, builder.add(shift, I64(1)))
            with count(builder, load(builder, first, shift), end) as pair:
                here = load(builder, query, load_index(builder, query_cells, pair))
                there = load(builder, row, load_index(builder, place_cells, pair))
                counted = call(builder, "llvm.ctpop.i64", I64, [builder.xor(here, there)])
                builder.store(builder.add(builder.load(ones), counted), ones)
            store(builder, builder.trunc(builder.load(ones), I32), target, shift)
    builder.ret_void()
