# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The loops of `cell_products` as LLVM instructions; import this module only where it is wanted.

Eight places are computed at a time, one in each lane of a vector of int64, so that nothing is ever
added up across lanes. Their words, which lie place after place, are first put lane beside lane.

A query's cell times a place's, for 4 and for 8 bits:

    ones = sum over bits b of 2^b popcount(query cell's plane b xor place's cell)
    product = cell's bits * (2^bits - 1) - 2 * ones

Bits are counted in bytes, which is what vectors of all processors are good at, and added up in
bytes as long as they cannot overflow: four words of a plane, and two planes with weights 1 and 2.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]

from floppynet_vpr.extraction.ir_blocks import (
    I8,
    I16,
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
LANES = 8
"""Places computed at a time."""

_WORD_BYTES = 8
_PIECE_WORDS = 4
_WORDS_IN_BYTES = 31  # whose ones, 8 a byte at most, can be added up in bytes
_SKETCHES, _OUTLINES = "sketches", "outlines"

F32 = ir.FloatType()
_WORDS = ir.VectorType(I64, LANES)
_BYTES = ir.VectorType(I8, LANES * _WORD_BYTES)
_PAIRS_OF_BYTES = ir.VectorType(I16, LANES * _WORD_BYTES // 2)
_INTEGERS = ir.VectorType(I32, LANES)
_FLOATS = ir.VectorType(F32, LANES)
_MOST = ir.Constant(_INTEGERS, [(1 << 31) - 1] * LANES)


@dataclass(frozen=True)
class NativeProducts:
    """The compiled functions, which release the interpreter's lock.

    `products` and `sums` have one for each number of bits. All arguments are addresses, but for the
    numbers of places, pairs and shifts; `scratch` has room for the rows of eight places.
    """

    products: Mapping[int, Callable[..., None]]
    sums: Mapping[int, Callable[..., None]]
    sketches: Callable[..., None]
    outlines: Callable[..., None]
    engine: Any  # owns the functions' memory


@cache
def native_products(grid: Grid, cpu: str = "", features: str = "") -> NativeProducts:
    """Compile, once a process for each grid, for this CPU or for the less that is named."""
    module = ir.Module("cell_products")
    for bits in BITS:
        _emit_product(module, bits, grid)
        _emit_products(module, bits, grid)
        _emit_sums(module, bits, grid)
    _emit_sketches(module, grid)
    _emit_outlines(module, grid)
    engine = compile_code(str(module), cpu, features)
    address, size = ctypes.c_void_p, ctypes.c_int64

    def function(name: str, *arguments: Any) -> Callable[..., None]:
        kind = ctypes.CFUNCTYPE(None, *arguments)
        return kind(engine.get_function_address(name))

    given = address, address, size, address, address, address
    return NativeProducts(
        {bits: function(_name("products", bits), *given, size, address) for bits in BITS},
        {
            bits: function(_name("sums", bits), *given, address, size, *[address] * 5)
            for bits in BITS
        },
        function(_SKETCHES, address, address, address, size, *[address] * 5, size, address),
        function(_OUTLINES, address, size, size, address, address, address, size, address),
        engine,
    )


def _name(what: str, bits: int) -> str:
    return f"{what}_{bits}"


def _emit_products(module: Any, bits: int, grid: Grid) -> None:
    """Write `products(planes, signs, places, scratch, query_cells, place_cells, pairs, out)`.

    `out` is int32, for each pair whole eights of places.
    """
    words, cells = I64.as_pointer(), I32.as_pointer()
    kind = [words, words, I64, words, cells, cells, I64, cells]
    builder, arguments = _begin(module, _name("products", bits), kind)
    planes, signs, places, scratch, query_cells, place_cells, pairs, out = arguments
    with _eights(builder, places) as (place, width):
        _put_beside(builder, signs, I64, grid.code_bytes // _WORD_BYTES, place, places, scratch)
        with count(builder, I64(0), pairs) as pair:
            ours = load_index(builder, query_cells, pair)
            theirs = load_index(builder, place_cells, pair)
            product = _product(builder, bits, grid, planes, ours, scratch, theirs)
            store(builder, product, out, builder.add(builder.mul(pair, width), place))
    builder.ret_void()


def _emit_sums(module: Any, bits: int, grid: Grid) -> None:
    """Write `sums(planes, signs, places, scratch, query_cells, place_cells, first, shifts, ...)`.

    The other arguments, float32, are the steps of the query's cells, the numbers of the places'
    cells, first all factors of a place and then all its remainders, scratch for those of eight
    places, and what is written: likeness and sizes, for each shift whole eights of places.
    """
    words, cells, floats = I64.as_pointer(), I32.as_pointer(), F32.as_pointer()
    kind = [words, words, I64, words, cells, cells, words, I64, *[floats] * 5]
    builder, arguments = _begin(module, _name("sums", bits), kind)
    planes, signs, places, scratch, query_cells, place_cells, first, shifts = arguments[:8]
    steps, numbers, beside, likeness, sizes = arguments[8:]
    zero = ir.Constant(_FLOATS, None)
    with _eights(builder, places) as (place, width):
        _put_beside(builder, signs, I64, grid.code_bytes // _WORD_BYTES, place, places, scratch)
        _put_beside(builder, numbers, F32, 2 * grid.cells, place, places, beside)
        with count(builder, I64(0), shifts) as shift:
            like, size = variable(builder, zero), variable(builder, zero)
            end = load(builder, first, builder.add(shift, I64(1)))
            with count(builder, load(builder, first, shift), end) as pair:
                ours = load_index(builder, query_cells, pair)
                theirs = load_index(builder, place_cells, pair)
                product = _product(builder, bits, grid, planes, ours, scratch, theirs)
                at = builder.mul(theirs, I64(LANES))
                factors = load(builder, beside, at, _FLOATS)
                met = builder.sitofp(product, _FLOATS)
                met = builder.fmul(met, _everywhere(builder, load(builder, steps, ours), _FLOATS))
                met = builder.fmul(met, factors)
                builder.store(builder.fadd(builder.load(like), met), like)
                remainders = load(
                    builder, beside, builder.add(at, I64(LANES * grid.cells)), _FLOATS
                )
                builder.store(builder.fadd(builder.load(size), remainders), size)
            target = builder.add(builder.mul(shift, width), place)
            store(builder, builder.load(like), likeness, target)
            store(builder, builder.load(size), sizes, target)
    builder.ret_void()


def _emit_sketches(module: Any, grid: Grid) -> None:
    """Write `sketches(query, words, rows, places, scratch, query_cells, place_cells, first, ...)`.

    `rows` are those of the places in `words`; `first` has an entry more than there are shifts, the
    number of pairs. The other arguments are the shifts' weights, their number and `out`, int32,
    whole eights of places.
    """
    cell_words = grid.sketch_bytes // _WORD_BYTES
    at_once = min(cell_words, 16)
    words, integers = I64.as_pointer(), I32.as_pointer()
    kind = [words, words, words, I64, words, integers, integers, words, integers, I64, integers]
    builder, arguments = _begin(module, _SKETCHES, kind)
    query, sketches, rows, places, scratch, query_cells, place_cells, first = arguments[:8]
    weights, shifts, out = arguments[8:]
    with _eights(builder, places) as (place, _):
        _put_beside(builder, sketches, I64, cell_words * grid.cells, place, places, scratch, rows)
        least = variable(builder, _MOST)
        with count(builder, I64(0), shifts) as shift:
            total = variable(builder, ir.Constant(_WORDS, None))
            end = load(builder, first, builder.add(shift, I64(1)))
            run = max(1, _WORDS_IN_BYTES // at_once)
            with (
                count(builder, load(builder, first, shift), end, run) as start,
                count(builder, I64(0), I64(cell_words), at_once) as word,
            ):
                ones = variable(builder, ir.Constant(_BYTES, None))
                stop = builder.add(start, I64(run))
                stop = builder.select(builder.icmp_signed("<", stop, end), stop, end)
                with count(builder, start, stop) as pair:
                    ours = builder.mul(load_index(builder, query_cells, pair), I64(cell_words))
                    theirs = builder.mul(load_index(builder, place_cells, pair), I64(cell_words))
                    for number in range(at_once):
                        at = builder.add(word, I64(number))
                        here = load(builder, query, builder.add(ours, at))
                        there = _beside(builder, scratch, builder.add(theirs, at))
                        counted = _differing(builder, here, there)
                        builder.store(builder.add(builder.load(ones), counted), ones)
                added = _across(builder, _in_pairs(builder, builder.load(ones)))
                builder.store(builder.add(builder.load(total), added), total)
            _keep_least(builder, total, weights, shift, least)
        store(builder, builder.load(least), out, place)
    builder.ret_void()


def _emit_outlines(module: Any, grid: Grid) -> None:
    """Write `outlines(columns, room, places, query, masks, weights, shifts, out)`.

    `columns` have a word of each place, one column after the other, each with `room` for so many;
    `query` and `masks` are the query's words, shift after shift; `weights` of shifts and `out`,
    whole eights of places, are int32.
    """
    words, integers = I64.as_pointer(), I32.as_pointer()
    kind = [words, I64, I64, words, words, integers, I64, integers]
    builder, arguments = _begin(module, _OUTLINES, kind)
    columns, room, places, query, masks, weights, shifts, out = arguments
    with _eights(builder, places) as (place, _):
        least = variable(builder, _MOST)
        with count(builder, I64(0), shifts) as shift:
            total = variable(builder, ir.Constant(_WORDS, None))
            for first in range(0, grid.outline_words, _WORDS_IN_BYTES):
                ones = ir.Constant(_BYTES, None)
                for word in range(first, min(first + _WORDS_IN_BYTES, grid.outline_words)):
                    at = builder.add(builder.mul(shift, I64(grid.outline_words)), I64(word))
                    column = builder.add(builder.mul(room, I64(word)), place)
                    there = load(builder, columns, column, _WORDS)
                    here, mask = load(builder, query, at), load(builder, masks, at)
                    counted = _differing(builder, here, there, mask)
                    ones = builder.add(ones, counted)
                added = _across(builder, _in_pairs(builder, ones))
                builder.store(builder.add(builder.load(total), added), total)
            _keep_least(builder, total, weights, shift, least)
        store(builder, builder.load(least), out, place)
    builder.ret_void()


def _keep_least(builder: Any, total: Any, weights: Any, shift: Any, least: Any) -> None:
    """Let `least` be what `total` costs at a shift, where that is less."""
    weight = _everywhere(builder, load(builder, weights, shift), _INTEGERS)
    cost = builder.mul(builder.trunc(builder.load(total), _INTEGERS), weight)
    known = builder.load(least)
    less = builder.icmp_signed("<", cost, known)
    builder.store(builder.select(less, cost, known), least)


def _begin(module: Any, name: str, kind: list[Any]) -> tuple[Any, Any]:
    """Begin a function; gives its builder and its arguments."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kind), name)
    return ir.IRBuilder(function.append_basic_block()), function.args


@contextmanager
def _eights(builder: Any, places: Any) -> Iterator[tuple[Any, Any]]:
    """Write a loop over the first of each eight places; also gives all places, in whole eights."""
    width = builder.and_(builder.add(places, I64(LANES - 1)), I64(-LANES))
    with count(builder, I64(0), places, LANES) as place:
        yield place, width


def _put_beside(
    builder: Any,
    rows: Any,
    kind: Any,
    length: int,
    place: Any,
    places: Any,
    scratch: Any,
    chosen: Any = None,
) -> None:
    """Write the rows of eight places to `scratch`, lane beside lane; the last place fills up.

    Place i has row i, or row `chosen[i]`.
    """
    last = builder.sub(places, I64(1))
    with count(builder, I64(0), I64(LANES)) as lane:
        number = builder.add(place, lane)
        number = builder.select(builder.icmp_signed("<", number, last), number, last)
        if chosen is not None:
            number = load(builder, chosen, number)
        row = builder.gep(rows, [builder.mul(number, I64(length))])
        with count(builder, I64(0), I64(length)) as column:
            target = builder.add(builder.mul(column, I64(LANES)), lane)
            store(builder, load(builder, row, column), scratch, target)


def _emit_product(module: Any, bits: int, grid: Grid) -> None:
    """Write `product(a query's cell's planes, eight places' cells)`, which gives int32."""
    cell_words = grid.cell_bytes // _WORD_BYTES
    words = I64.as_pointer()
    kind = ir.FunctionType(_INTEGERS, [words, words])
    function = ir.Function(module, kind, _name("product", bits))
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    planes, cells = function.args
    total = variable(builder, ir.Constant(_WORDS, None))
    with count(builder, I64(0), I64(cell_words), _PIECE_WORDS) as piece:
        code = [
            _beside(builder, cells, builder.add(piece, I64(word))) for word in range(_PIECE_WORDS)
        ]
        added = ir.Constant(_PAIRS_OF_BYTES, None)
        for bit in range(0, bits, 2):
            ones = [ir.Constant(_BYTES, None)] * 2
            for number in range(2):
                plane = builder.add(piece, I64((bit + number) * cell_words))
                for word, there in enumerate(code):
                    here = load(builder, planes, builder.add(plane, I64(word)))
                    counted = _differing(builder, here, there)
                    ones[number] = builder.add(ones[number], counted)
            both = builder.add(ones[0], builder.add(ones[1], ones[1]))
            weighted = _shifted(builder, builder.shl, _in_pairs(builder, both), bit)
            added = builder.add(added, weighted)
        builder.store(builder.add(builder.load(total), _across(builder, added)), total)
    ones = builder.trunc(builder.load(total), _INTEGERS)
    most = ir.Constant(_INTEGERS, [grid.bits * ((1 << bits) - 1)] * LANES)
    builder.ret(builder.sub(most, builder.add(ones, ones)))


def _product(
    builder: Any, bits: int, grid: Grid, planes: Any, ours: Any, scratch: Any, theirs: Any
) -> Any:
    """Multiply the query's cell `ours` with the eight places' `theirs`: int32."""
    cell_words = grid.cell_bytes // _WORD_BYTES
    here = builder.gep(planes, [builder.mul(ours, I64(bits * cell_words))])
    there = builder.gep(scratch, [builder.mul(theirs, I64(LANES * cell_words))])
    return builder.call(builder.module.globals[_name("product", bits)], [here, there])


def _beside(builder: Any, scratch: Any, word: Any) -> Any:
    """Load a word of eight places."""
    return load(builder, scratch, builder.mul(word, I64(LANES)), _WORDS)


def _everywhere(builder: Any, value: Any, kind: Any) -> Any:
    """A vector of one value."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
    lanes = ir.Constant(ir.VectorType(I32, kind.count), None)
    return builder.shuffle_vector(one, one, lanes)


def _differing(builder: Any, here: Any, there: Any, mask: Any = None) -> Any:
    """Count the bits in which a word of the query differs from those of eight places: bytes.

    With a `mask` only its bits count.
    """
    different = builder.xor(_everywhere(builder, here, _WORDS), there)
    if mask is not None:
        different = builder.and_(different, _everywhere(builder, mask, _WORDS))
    name = f"llvm.ctpop.v{_BYTES.count}i8"
    return call(builder, name, _BYTES, [builder.bitcast(different, _BYTES)])


def _shifted(builder: Any, way: Callable[..., Any], vector: Any, bits: int) -> Any:
    """Shift all of a vector's elements by so many bits."""
    kind = vector.type
    return way(vector, ir.Constant(kind, [bits] * kind.count))


def _in_pairs(builder: Any, ones: Any) -> Any:
    """Add up each two neighbouring bytes: int16."""
    pairs = builder.bitcast(ones, _PAIRS_OF_BYTES)
    low = ir.Constant(_PAIRS_OF_BYTES, [255] * _PAIRS_OF_BYTES.count)
    return builder.add(builder.and_(pairs, low), _shifted(builder, builder.lshr, pairs, 8))


def _across(builder: Any, pairs: Any) -> Any:
    """Add up the four int16 of each word, whose sum must be below 2^16: int64."""
    words = builder.bitcast(pairs, _WORDS)
    for bits in (16, 32):
        words = builder.add(words, _shifted(builder, builder.lshr, words, bits))
    return builder.and_(words, ir.Constant(_WORDS, [65535] * LANES))
