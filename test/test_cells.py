# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places as bits: turned, coded and multiplied, by the same integers in every way."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Callable

import numpy as np
import pytest
from feature_maps import (
    CELL_BYTES,
    CELLS,
    CHANNELS,
    GRIDS,
    SHIFTS,
    SIDE,
    TOLERANT,
    UNSHIFTED,
    pairs_of,
    random_descriptors,
    random_maps,
    random_rounded,
    random_signs,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.mapping.cell_products import (
    CellProducts,
    CompiledProducts,
    MatrixProducts,
    best_products,
)
from floppynet_vpr.mapping.cells import (
    Codes,
    Rounded,
    code_products,
    codes,
    decode,
    encode,
    round_cells,
    turn,
    turn_back,
)
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.outlines import moved_outline
from floppynet_vpr.mapping.shifts import Shifts, shift_shares, tolerant, unshifted

ALL_SHIFTS = {
    **SHIFTS,
    **{f"{name} unshifted": unshifted(grid) for name, grid in GRIDS.items()},
    **{f"{name} tolerant": tolerant(grid) for name, grid in GRIDS.items()},
}
WAYS: dict[str, Callable[[Grid], CellProducts]] = {
    "compiled": CompiledProducts,
    "matrix": lambda _: MatrixProducts(),
}
if platform.machine() == "x86_64":
    WAYS["compiled for the first 64-bit processors"] = lambda grid: CompiledProducts(
        grid, "x86-64", "+sse2"
    )
elif platform.machine() == "aarch64":
    WAYS["compiled for a Raspberry Pi 4"] = lambda grid: CompiledProducts(
        grid, "cortex-a72", "+neon"
    )

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("grid", "bits"), zip(GRIDS.values(), (256, 2048, 512, 8192), strict=True), ids=GRIDS
)
def test_a_place_has_8192_bits_or_more_and_a_cell_a_power_of_two(grid: Grid, bits: int) -> None:
    assert grid.bits == bits
    assert grid.row_bytes == grid.cells * (bits // 8 + 4)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@settings(deadline=None, max_examples=30)
@given(seed=seeds, count=st.integers(1, 6))
def test_turning_keeps_the_products_of_cells_and_can_be_undone(
    grid: Grid, seed: int, count: int
) -> None:
    descriptors = random_descriptors(count, seed, grid)
    turned = turn(descriptors, grid)
    assert turned.shape == (count, grid.cells, grid.bits)
    assert turned.dtype == np.float32
    cells = descriptors.reshape(count, grid.cells, grid.channels)
    before = np.einsum("aic,bjc->abij", cells, cells, dtype=np.float64)
    after = np.einsum("aic,bjc->abij", turned, turned, dtype=np.float64)
    np.testing.assert_allclose(after, before, atol=1e-5)
    np.testing.assert_allclose(turn_back(turned, grid), descriptors, atol=1e-6)


def test_turning_spreads_a_single_value_over_its_cell_alone() -> None:
    descriptor = np.zeros((1, CELLS * CHANNELS), np.float32)
    descriptor[0, 7 * CHANNELS + 3] = 1
    turned = turn(descriptor, POOL5)[0]
    assert np.flatnonzero(turned.any(axis=1)).tolist() == [7]
    # The values of a product of two rotations, like those of a Gaussian of variance 1 / 256.
    assert np.abs(turned[7]).max() < 5 / 16
    assert np.abs(turned[7]).sum() > 0.7 * 16 * np.sqrt(2 / np.pi)


@settings(deadline=None)
@given(seeds, st.integers(1, 5))
def test_a_row_holds_signs_norms_and_factors(seed: int, count: int) -> None:
    turned = random_maps(count, seed)
    turned[0, 4] = 0
    rows = encode(turned)
    assert rows.shape == (count, POOL5.row_bytes) == (count, 1296)
    known = codes(rows, POOL5)
    signs = np.unpackbits(known.signs, axis=-1).astype(bool)
    np.testing.assert_array_equal(signs, turned >= 0)
    np.testing.assert_allclose(known.norms, np.linalg.norm(turned, axis=-1), rtol=1e-3)
    # A place's own product with its estimate is its squared norm.
    own = (decode(rows, POOL5) * turned).sum(axis=-1)
    np.testing.assert_allclose(own, (turned**2).sum(axis=-1), rtol=1e-3)
    assert not known.factors[0, 4]
    assert not known.norms[0, 4]


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.8, 0.99])
def test_products_with_what_a_row_keeps_are_without_bias(likeness: float, grid: Grid) -> None:
    """Over many cells that have the same product with a query each, errors average out."""
    rng = np.random.default_rng(0)
    count = max(200, 2000 // grid.cells)
    shape = 2, count, grid.cells, grid.channels
    queries, others = rng.normal(size=shape).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=-1, keepdims=True)
    others -= (others * queries).sum(axis=-1, keepdims=True) * queries
    others /= np.linalg.norm(others, axis=-1, keepdims=True)
    places = likeness * queries + np.sqrt(1 - likeness**2) * others
    rows = places.astype(np.float32).reshape(count, -1)
    kept = decode(encode(turn(rows, grid)), grid)
    error = (kept * turn(queries.reshape(count, -1), grid)).sum(axis=-1) - likeness
    # RaBitQ's error of a product in so many dimensions.
    deviation = np.sqrt((1 - likeness**2) * (np.pi / 2 - 1) / grid.bits)
    assert 0.9 * deviation < error.std() < 1.1 * deviation
    assert abs(error.mean()) < 5 * deviation / np.sqrt(error.size) + 1e-5


@pytest.mark.parametrize("likeness", [-0.5, 0.0, 0.3, 0.8, 0.99])
def test_products_of_two_places_known_by_their_signs_are_without_bias(likeness: float) -> None:
    rng = np.random.default_rng(0)
    one, others = rng.normal(size=(2, 200, CELLS, CHANNELS)).astype(np.float32)
    one /= np.linalg.norm(one, axis=-1, keepdims=True)
    others -= (others * one).sum(axis=-1, keepdims=True) * one
    others /= np.linalg.norm(others, axis=-1, keepdims=True)
    others = np.float32(3) * (likeness * one + np.sqrt(1 - likeness**2) * others)
    ours, theirs = (
        encode(turn(cells.astype(np.float32).reshape(200, -1), POOL5)) for cells in (one, others)
    )
    products = np.concatenate(
        [
            code_products(codes(ours[i : i + 1], POOL5), codes(theirs[i : i + 1], POOL5))
            for i in range(200)
        ]
    )
    error = products / 3 - likeness
    differing = np.arccos(likeness) / np.pi
    deviation = np.pi * np.sqrt((1 - likeness**2) * differing * (1 - differing) / CHANNELS)
    assert error.std() < 1.1 * deviation + 1e-3
    assert abs(error.mean()) < 5 * deviation / np.sqrt(error.size) + 1e-3


def test_a_place_is_as_like_itself_as_it_is_long() -> None:
    rows = np.random.default_rng(1).normal(size=(3, CELLS * CHANNELS)).astype(np.float32)
    known = codes(encode(turn(rows, POOL5)), POOL5)
    one = codes(encode(turn(rows[1:2], POOL5)), POOL5)
    np.testing.assert_allclose(code_products(one, known)[1], known.norms[1] ** 2, rtol=1e-5)


@pytest.mark.parametrize(("bits", "error"), [(4, 0.125), (8, 0.02)])
@settings(max_examples=30, deadline=None)
@given(seed=seeds, scale=st.sampled_from([1e-4, 1.0, 1e4]))
def test_rounded_values_are_odd_and_their_product_with_their_own_is_exact(
    bits: int, error: float, seed: int, scale: float
) -> None:
    turned = random_maps(1, seed, scale)[0]
    turned[11] = 0
    rounded = round_cells(turned, bits)
    values = rounded.values()
    assert rounded.planes.shape == (CELLS, bits, CELL_BYTES)
    assert values.dtype == np.float32
    assert (values % 2 == 1).all()
    assert np.abs(values).max() < 2**bits
    exact = (turned.astype(np.float64) ** 2).sum(axis=-1)
    np.testing.assert_allclose(rounded.squares, exact, rtol=1e-5)
    back = values.astype(np.float64) * rounded.steps[:, None]
    np.testing.assert_allclose((back * turned).sum(axis=-1), exact, rtol=1e-5)
    # On average 0.106 with 4 bits and 0.009 with 8; a single far value may be cut off.
    lost = np.linalg.norm(back - turned, axis=-1).sum() / np.sqrt(exact).sum()
    assert lost <= error
    assert not rounded.steps[11]


@settings(deadline=None)
@given(seeds, st.sampled_from([4, 8]))
def test_bits_of_a_rounded_map_weigh_twice_the_one_below(seed: int, bits: int) -> None:
    rounded = random_rounded(bits, seed)
    expected = np.zeros((CELLS, CHANNELS), np.int64)
    for bit in range(bits):
        plus = np.unpackbits(rounded.planes[:, bit], axis=-1).astype(np.int64)
        expected += 2**bit * (2 * plus - 1)
    np.testing.assert_array_equal(rounded.values(), expected)


@pytest.mark.parametrize("shifts", ALL_SHIFTS.values(), ids=ALL_SHIFTS)
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(seed=seeds, bits=st.sampled_from([4, 8]), count=st.integers(0, 40))
def test_products_are_the_same_integers_in_every_way(
    way: str, shifts: Shifts, seed: int, bits: int, count: int
) -> None:
    grid = shifts.grid
    rounded, signs = random_rounded(bits, seed, grid), random_signs(count, seed ^ 1, grid)
    found = WAYS[way](grid).products(rounded, signs, shifts)
    values = rounded.values().astype(np.int64)
    places = 2 * np.unpackbits(signs, axis=-1).astype(np.int64) - 1
    expected = np.empty((count, len(shifts.query_cells)), np.int64)
    for pair, (ours, theirs) in enumerate(zip(shifts.query_cells, shifts.place_cells, strict=True)):
        expected[:, pair] = (places[:, theirs] * values[ours]).sum(axis=1)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shifts", ALL_SHIFTS.values(), ids=ALL_SHIFTS)
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(seed=seeds, bits=st.sampled_from([4, 8]), count=st.integers(0, 40))
def test_sums_are_the_same_bits_in_every_way(
    way: str, shifts: Shifts, seed: int, bits: int, count: int
) -> None:
    grid, random = shifts.grid, np.random.default_rng(seed)
    rounded, signs = random_rounded(bits, seed, grid), random_signs(count, seed ^ 1, grid)
    norms, factors, remainders = random.random((3, count, grid.cells), np.float32)
    places = Codes(signs, norms, factors)
    met, sizes = WAYS[way](grid).sums(rounded, places, remainders, shifts)
    products = MatrixProducts().products(rounded, signs, shifts).astype(np.float32)
    for shift, (first, last) in enumerate(itertools.pairwise(shifts.first.tolist())):
        likeness, size = np.zeros((2, count), np.float32)
        for pair in range(first, last):
            ours, theirs = shifts.query_cells[pair], shifts.place_cells[pair]
            likeness += products[:, pair] * rounded.steps[ours] * factors[:, theirs]
            size += remainders[:, theirs]
        np.testing.assert_array_equal(met[:, shift], likeness)
        np.testing.assert_array_equal(sizes[:, shift], size)


@pytest.mark.parametrize("shifts", ALL_SHIFTS.values(), ids=ALL_SHIFTS)
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(seed=seeds, count=st.integers(0, 40))
def test_costs_of_sketches_are_the_same_in_every_way(
    way: str, shifts: Shifts, seed: int, count: int
) -> None:
    grid = shifts.grid
    query, *places = random_signs(count + 1, seed, grid)[:, :, : grid.sketch_bytes]
    sketches = np.array(places, np.uint8).reshape(count, grid.cells * grid.sketch_bytes)
    rows = np.flatnonzero(np.random.default_rng(seed).integers(0, 2, count))
    found = WAYS[way](grid).sketch_costs(query, sketches, rows, shifts)
    assert found.dtype == np.int32
    expected = cost_bit_by_bit(query, sketches[rows].reshape(-1, *query.shape), shifts)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shifts", ALL_SHIFTS.values(), ids=ALL_SHIFTS)
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(seed=seeds, count=st.integers(0, 2100), room=st.integers(0, 3))
def test_costs_of_outlines_are_the_same_in_every_way(
    way: str, shifts: Shifts, seed: int, count: int, room: int
) -> None:
    grid, random = shifts.grid, np.random.default_rng(seed)
    cell_bytes = grid.outline_bytes
    query = random.integers(0, 256, (grid.cells, cell_bytes), np.uint8)
    columns = random.integers(
        0, 1 << 64, (grid.outline_words, 8 * (count // 8 + room + 1)), np.uint64
    )
    found = WAYS[way](grid).outline_costs(moved_outline(query, shifts), columns, count)
    assert found.dtype == np.int32
    words = np.ascontiguousarray(columns[:, :count].T).view(np.uint8)
    places = words[:, : grid.cells * cell_bytes].reshape(count, grid.cells, cell_bytes)
    np.testing.assert_array_equal(found, cost_bit_by_bit(query, places, shifts))


def cost_bit_by_bit(
    query: NDArray[np.uint8], places: NDArray[np.uint8], shifts: Shifts
) -> NDArray[np.int64]:
    """What the bits cost that differ at the best shift, cell by cell."""
    bits = 8 * query.shape[1]
    costs = []
    for (right, down), cost in zip(shifts.steps.tolist(), shifts.costs.tolist(), strict=True):
        pairs, differing = pairs_of(right, down, shifts.grid), np.zeros(len(places), np.int64)
        for ours, theirs in pairs:
            different = np.unpackbits(places[:, theirs] ^ query[ours], axis=-1)
            differing += different.sum(axis=-1, dtype=np.int64)
        costs.append(differing * round(2**24 * cost / (bits * len(pairs))))
    return np.min(costs, axis=0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("grid", [POOL5, Grid(1, 1, 1 << 16)], ids=["pool5", "longest"])
def test_the_largest_products_do_not_overflow(grid: Grid, bits: int, way: str) -> None:
    cells, cell_bytes = grid.cells, grid.cell_bytes
    full = np.full((cells, bits, cell_bytes), 255, np.uint8)
    rounded = Rounded(full, np.ones(cells, np.float32), np.ones(cells, np.float32))
    signs = np.stack([np.full((cells, cell_bytes), value, np.uint8) for value in (255, 0)])
    most = grid.bits * (2**bits - 1)
    found = WAYS[way](grid).products(rounded, signs, unshifted(grid))
    np.testing.assert_array_equal(found, np.repeat([[most], [-most]], cells, axis=1))


def test_the_compiled_way_is_the_one_taken_here() -> None:
    assert isinstance(best_products(POOL5), CompiledProducts)


@pytest.mark.parametrize("shifts", SHIFTS.values(), ids=SHIFTS)
def test_shifts_list_the_cells_that_meet_fewest_steps_first(shifts: Shifts) -> None:
    steps = np.abs(shifts.steps).sum(axis=1)
    assert not steps[0]
    assert (np.diff(steps) >= 0).all()
    assert len(np.unique(shifts.steps, axis=0)) == len(shifts)
    np.testing.assert_allclose(shifts.costs, 1.05**steps, rtol=1e-6)
    met = np.stack([shifts.query_cells, shifts.place_cells], axis=1)
    for number, (right, down) in enumerate(shifts.steps.tolist()):
        first, last = shifts.first[number : number + 2]
        assert [tuple(pair) for pair in met[first:last].tolist()] == pairs_of(right, down)
        assert shifts.overlaps[number] == (SIDE - abs(right)) * (SIDE - abs(down))


def test_tolerant_shifts_are_two_cells_sideways_and_one_lengthwise() -> None:
    assert {tuple(step) for step in TOLERANT.steps.tolist()} == {
        (right, down) for right in range(-2, 3) for down in range(-1, 2)
    }
    assert UNSHIFTED.steps.tolist() == [[0, 0]]


def test_tolerant_shifts_are_a_third_of_the_map_sideways_and_a_sixth_lengthwise() -> None:
    larger = tolerant(Grid(12, 18, 64))
    assert np.abs(larger.steps).max(axis=0).tolist() == [6, 2]
    # The same share of the map costs the same, however many cells it is.
    (sideways,) = np.flatnonzero((larger.steps == [6, 0]).all(axis=1))
    assert larger.costs[sideways] == pytest.approx(1.05**2)
    assert tolerant(Grid(1, 1, 512)).steps.tolist() == [[0, 0]]


def test_shifts_are_told_in_shares_of_the_image() -> None:
    assert shift_shares((1, -2), POOL5) == (32 / 227, -64 / 227)
    assert shift_shares((1, -2), Grid(8, 4, 64)) == (0.25, -0.25)
