# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The innermost loops as LLVM vector code, made for the CPU's registers and instructions.

One block multiplies four patches with a group of filters. It reads the patches where they lie in
the padded map, 32 bits at a time, and keeps all its sums in registers: a filter word loaded once
serves four patches, a patch word serves all filters. The filters are interleaved word by word, so
that a vector holds the same word of as many filters as it has 32-bit lanes.

What one step does to a vector depends on the CPU; the sums do not:

    bits   words      count the ones of each lane               AVX-512 VPOPCNTDQ
           bytes      count the ones of each byte, widen later  AVX2 (shuffles), NEON (cnt)
    pixels vnni       four uint8 x int8 products added a lane   AVX-512 VNNI, AVX-VNNI
           pairs      two of them added in 16 bits, widen later SSSE3, AVX2, AVX-512 BW
           sdot       four int8 x int8 products added a lane    ARM dot product
           products   16-bit products, widen later              NEON (smlal), any other
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]

from floppynet_vpr.extraction.compiled_plan import PATCHES
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

GROUP = 32
"""Filters whose bits fill one word of the next map; blocks of fewer take turns."""


@dataclass(frozen=True)
class VectorTarget:
    """How blocks are made for a CPU: 32-bit lanes of a vector, vectors a block, kinds of step."""

    lanes: int
    vectors: int
    bits: str
    pixels: str

    @property
    def filters(self) -> int:
        """Filters of one block, a divisor of `GROUP`."""
        return self.lanes * self.vectors

    @property
    def signed_pixels(self) -> bool:
        """Whether pixels are taken as int8, 128 less than they are."""
        return self.pixels in ("sdot", "products")


def vector_target(triple: str, features: str) -> VectorTarget:
    """Choose the steps for LLVM's target triple and feature list ("+avx2,-avx512f,...")."""
    has = {name[1:] for name in features.split(",") if name.startswith("+")}
    if triple.startswith("x86_64"):
        wide = "avx512bw" in has and "avx512vl" in has
        lanes = 16 if wide else 8 if "avx2" in has else 4
        vnni = "avx512vnni" in has if wide else "avxvnni" in has
        pixels = "vnni" if vnni else "pairs" if "ssse3" in has else "products"
        bits = "words" if wide and "avx512vpopcntdq" in has else "bytes"
        # Four patches by two vectors: eight sums in sixteen registers.
        return VectorTarget(lanes, 2, bits, pixels)
    if triple.startswith("aarch64") and "dotprod" in has:
        return VectorTarget(4, 4, "bytes", "sdot")
    return VectorTarget(4, 2, "bytes", "products")


@dataclass(frozen=True)
class _Step:
    """One product.

    `element` and `elements`: of the running sums, and how many of them stand for a lane; `scale`
    multiplies the sum at the end; `add` is the step; `widen` makes lanes of running sums.
    """

    element: ir.IntType
    elements: int
    scale: int
    add: Callable[[Any, VectorTarget, Any, Any, Any], Any]
    widen: Callable[[Any, VectorTarget, Any], Any] | None = None


@dataclass(frozen=True)
class BlockOperands:
    """The LLVM values that a block works on.

    All but addresses are int64. `patches` are the addresses of the four patches' first words. A
    patch has `chunks` times `run` words; `offsets` (int32) says how far each is from the first.
    Narrow sums are widened after each chunk. `filters` is the block's first filter word. `sums`
    takes what comes out, int32, `GROUP` from patch to patch: `reach` (one address a patch) plus
    the sum of the products, or minus twice the distance.
    """

    patches: list[Any]
    reach: list[Any]
    offsets: Any
    chunks: Any
    run: Any
    filters: Any
    sums: Any


def emit_block(builder: Any, target: VectorTarget, product: str, operands: BlockOperands) -> None:
    """Write the code of one block; `product` names a step of the table above."""
    step = _STEPS[product]
    wide = ir.VectorType(I32, target.lanes)
    narrow = ir.VectorType(step.element, target.lanes * step.elements)
    cells = [(patch, vector) for patch in range(PATCHES) for vector in range(target.vectors)]
    sums = {cell: variable(builder, ir.Constant(wide, None)) for cell in cells}
    parts = sums
    if step.widen:
        parts = {cell: variable(builder, ir.Constant(narrow, None)) for cell in cells}

    with count(builder, I64(0), operands.chunks) as chunk:
        first = builder.mul(chunk, operands.run)
        if step.widen:
            for cell in cells:
                builder.store(ir.Constant(narrow, None), parts[cell])
        with count(builder, first, builder.add(first, operands.run)) as word:
            row = builder.mul(word, I64(target.filters))
            at = load_index(builder, operands.offsets, word)
            filters = [
                load(builder, operands.filters, builder.add(row, I64(v * target.lanes)), wide)
                for v in range(target.vectors)
            ]
            patches = [
                _splat(builder, load(builder, patch, at), wide) for patch in operands.patches
            ]
            for patch, vector in cells:
                part = parts[patch, vector]
                operand = patches[patch], filters[vector]
                builder.store(step.add(builder, target, builder.load(part), *operand), part)
        if step.widen:
            for cell in cells:
                more = step.widen(builder, target, builder.load(parts[cell]))
                builder.store(builder.add(builder.load(sums[cell]), more), sums[cell])

    for patch, vector in cells:
        column = vector * target.lanes
        value = builder.mul(builder.load(sums[patch, vector]), _constant(wide, step.scale))
        reach = load(builder, operands.reach[patch], I64(column), wide)
        store(builder, builder.add(reach, value), operands.sums, I64(patch * GROUP + column))


def emit_pool(builder: Any, sums: Any) -> None:
    """Keep in the first patch's place the largest of the four patches' sums."""
    vector = ir.VectorType(I32, GROUP)
    largest = load(builder, sums, I64(0), vector)
    for patch in range(1, PATCHES):
        value = load(builder, sums, I64(patch * GROUP), vector)
        largest = builder.select(builder.icmp_signed(">", value, largest), value, largest)
    store(builder, largest, sums, I64(0))


def emit_bits_at_least(builder: Any, values: Any, thresholds: Any) -> Any:
    """Compare `GROUP` int32 with as many thresholds: bit i of an int32 is `values[i] >= ...`."""
    vector = ir.VectorType(I32, GROUP)
    first, second = (load(builder, pointer, I64(0), vector) for pointer in (values, thresholds))
    return builder.bitcast(builder.icmp_signed(">=", first, second), I32)


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(vector, None))


def _as(builder: Any, value: Any, element: ir.IntType) -> Any:
    bits = value.type.count * value.type.element.width
    return builder.bitcast(value, ir.VectorType(element, bits // element.width))


def _constant(vector: Any, value: int) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _add_ones(builder: Any, target: VectorTarget, part: Any, patch: Any, filters: Any) -> Any:
    kind = part.type
    different = builder.bitcast(builder.xor(patch, filters), kind)
    name = f"llvm.ctpop.v{kind.count}i{kind.element.width}"
    return builder.add(part, call(builder, name, kind, [different]))


def _add_pairwise(builder: Any, target: VectorTarget, part: Any) -> Any:
    """Add the bytes of each lane: unsigned, two steps of neighbours."""
    for element, mask in ((I16, 0xFF), (I32, 0xFFFF)):
        part = _as(builder, part, element)
        low = builder.and_(part, _constant(part.type, mask))
        high = builder.lshr(part, _constant(part.type, element.width // 2))
        part = builder.add(low, high)
    return part


def _dot(builder: Any, target: VectorTarget, part: Any, patch: Any, filters: Any) -> Any:
    name = f"llvm.x86.avx512.vpdpbusd.{32 * target.lanes}"
    return call(builder, name, part.type, [part, patch, filters])


def _signed_dot(builder: Any, target: VectorTarget, part: Any, patch: Any, filters: Any) -> Any:
    operands = [part, _as(builder, patch, I8), _as(builder, filters, I8)]
    return call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", part.type, operands)


_PAIRS = {
    4: ("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd"),
    8: ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
    16: ("llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
}


def _add_pairs(builder: Any, target: VectorTarget, part: Any, patch: Any, filters: Any) -> Any:
    # Two pixels give at most +-510: neither the instruction's own 16 bits nor 63 steps overflow.
    operands = [_as(builder, patch, I8), _as(builder, filters, I8)]
    name = _PAIRS[target.lanes][0]
    return builder.add(part, call(builder, name, part.type, operands))


def _widen_pairs(builder: Any, target: VectorTarget, part: Any) -> Any:
    wide = ir.VectorType(I32, target.lanes)
    return call(builder, _PAIRS[target.lanes][1], wide, [part, _constant(part.type, 1)])


def _add_products(builder: Any, target: VectorTarget, part: Any, patch: Any, filters: Any) -> Any:
    first, second = (builder.sext(_as(builder, v, I8), part.type) for v in (patch, filters))
    return builder.add(part, builder.mul(first, second))


def _widen_products(builder: Any, target: VectorTarget, part: Any) -> Any:
    # At most 63 * 128 in each element, and 4 times that, below 2**15, in a lane.
    while part.type.count > target.lanes:
        half = part.type.count // 2
        undefined = ir.Constant(part.type, ir.Undefined)
        even, odd = (
            builder.shuffle_vector(
                part,
                undefined,
                ir.Constant(ir.VectorType(I32, half), list(range(start, 2 * half, 2))),
            )
            for start in (0, 1)
        )
        part = builder.add(even, odd)
    return builder.sext(part, ir.VectorType(I32, target.lanes))


_STEPS = {
    "words": _Step(I32, 1, -2, _add_ones),
    "bytes": _Step(I8, 4, -2, _add_ones, _add_pairwise),
    "vnni": _Step(I32, 1, 1, _dot),
    "pairs": _Step(I16, 2, 1, _add_pairs, _widen_pairs),
    "sdot": _Step(I32, 1, 1, _signed_dot),
    "products": _Step(I16, 4, 1, _add_products, _widen_products),
}
