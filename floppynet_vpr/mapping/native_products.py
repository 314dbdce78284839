# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The loops of `cell_products` as LLVM instructions; import this module only where it is wanted.

What the code says of places in full, for 4 and for 8 bits:

    for each place:
        for each pair of cells:
            ones = 0
            for each bit, the highest first:
                ones = 2 * ones + popcount(query cell's plane xor place's cell)
            product = cell's bits * (2^bits - 1) - 2 * ones

(a cell of more than 256 bits in pieces of 256, whose ones are added up)

and of sketches, a quarter of each cell's words:

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
from floppynet_vpr.mapping.grid import Grid

BITS = (4, 8)
_WORD_BYTES = 8
_PIECE_WORDS = 4
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
def native_products(grid: Grid) -> NativeProducts:
    """Compile, once a process for each grid."""
    module = ir.Module("cell_products")
    for bits in BITS:
        _emit(module, bits, grid)
    _emit_sketches(module, grid)
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


def _emit(module: Any, bits: int, grid: Grid) -> None:
    """Write `products(planes, signs, places, query_cells, place_cells, pairs, out)`."""
    cell_words = grid.cell_bytes // _WORD_BYTES
    words, cells = I64.as_pointer(), I32.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [words, words, I64, cells, cells, I64, cells])
    function = ir.Function(module, kind, _name(bits))
    planes, signs, places, query_cells, place_cells, pairs, out = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    with count(builder, I64(0), places) as place:
        row = builder.gep(signs, [builder.mul(place, I64(grid.cells * cell_words))])
        target = builder.gep(out, [builder.mul(place, pairs)])
        with count(builder, I64(0), pairs) as pair:
            cell = builder.mul(load_index(builder, place_cells, pair), I64(cell_words))
            first = builder.mul(load_index(builder, query_cells, pair), I64(bits * cell_words))
            total = variable(builder, I64(0))
            with count(builder, I64(0), I64(cell_words), _PIECE_WORDS) as piece:
                start = builder.add(cell, piece)
                code = [
                    load(builder, row, builder.add(start, I64(word)))
                    for word in range(_PIECE_WORDS)
                ]
                ones = I64(0)
                for bit in reversed(range(bits)):
                    ones = builder.shl(ones, I64(1))
                    plane = builder.add(builder.add(first, I64(bit * cell_words)), piece)
                    for word, value in enumerate(code):
                        at = builder.add(plane, I64(word))
                        different = builder.xor(load(builder, planes, at), value)
                        counted = call(builder, "llvm.ctpop.i64", I64, [different])
                        ones = builder.add(ones, counted)
                builder.store(builder.add(builder.load(total), ones), total)
            most = I64(grid.bits * ((1 << bits) - 1))
            product = builder.sub(most, builder.shl(builder.load(total), I64(1)))
            store(builder, builder.trunc(product, I32), target, pair)
    builder.ret_void()


def _emit_sketches(module: Any, grid: Grid) -> None:
    """Write `sketches(query, places' words, places, query_cells, place_cells, first, shifts, out)`.

    `first` has an entry more than there are shifts, the number of pairs.
    """
    sketch_words = I64(grid.sketch_bytes // _WORD_BYTES)
    words, cells = I64.as_pointer(), I32.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [words, words, I64, cells, cells, words, I64, cells])
    function = ir.Function(module, kind, _SKETCHES)
    query, sketches, places, query_cells, place_cells, first, shifts, out = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    place_words = builder.mul(sketch_words, I64(grid.cells))
    with count(builder, I64(0), places) as place:
        row = builder.gep(sketches, [builder.mul(place, place_words)])
        target = builder.gep(out, [builder.mul(place, shifts)])
        with count(builder, I64(0), shifts) as shift:
            ones = variable(builder, I64(0))
            end = load(builder, first, builder.add(shift, I64(1)))
            with count(builder, load(builder, first, shift), end) as pair:
                ours = builder.mul(load_index(builder, query_cells, pair), sketch_words)
                theirs = builder.mul(load_index(builder, place_cells, pair), sketch_words)
                with count(builder, I64(0), sketch_words) as word:
                    here = load(builder, query, builder.add(ours, word))
                    there = load(builder, row, builder.add(theirs, word))
                    counted = call(builder, "llvm.ctpop.i64", I64, [builder.xor(here, there)])
                    builder.store(builder.add(builder.load(ones), counted), ones)
            store(builder, builder.trunc(builder.load(ones), I32), target, shift)
    builder.ret_void()
