# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The places that are worth comparing are those whose sketches are nearest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from feature_maps import GRIDS, TOLERANT, UNSHIFTED, random_signs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.mapping import candidates
from floppynet_vpr.mapping.candidates import Candidates
from floppynet_vpr.mapping.cell_products import MatrixProducts
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.shifts import Shifts, tolerant, unshifted

seeds = st.integers(0, 2**32 - 1)


def by_sketch(
    query: NDArray[np.uint8], signs: NDArray[np.uint8], count: int, shifts: Shifts
) -> list[int]:
    """The places whose sketches are nearest, over all shifts, ties to the first."""
    end = shifts.grid.sketch_bytes
    differing = MatrixProducts().sketch_distances(query[:, :end], signs[:, :, :end], shifts)
    costs = (differing / (shifts.overlaps * 8.0 * end) * shifts.costs).min(axis=1)
    return sorted(np.argsort(costs, kind="stable")[:count].tolist())


@pytest.mark.parametrize("end", [None, 5, 0])
def test_few_places_are_all_candidates(end: int | None) -> None:
    known = Candidates(POOL5)
    known.add(random_signs(9, seed=0))
    chosen = known.nearest(random_signs(1, seed=1)[0], 9, TOLERANT, end)
    assert chosen.tolist() == list(range(9 if end is None else end))
    assert not len(Candidates(POOL5).nearest(random_signs(1, seed=1)[0], 9, TOLERANT))


def test_among_equal_candidates_the_first_are_chosen() -> None:
    one, other = random_signs(2, seed=0)
    known = Candidates(POOL5)
    known.add(np.stack([other] * 3 + [one] * 5000))
    for count in (1, 40, 1500):
        chosen = known.nearest(one, count, TOLERANT)
        np.testing.assert_array_equal(chosen, 3 + np.arange(count))
        np.testing.assert_array_equal(known.nearest(one, count, UNSHIFTED, 4000), chosen)


@pytest.mark.parametrize("make_shifts", [unshifted, tolerant])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@settings(max_examples=10, deadline=None)
@given(
    seed=seeds,
    batches=st.lists(st.integers(0, 50), min_size=1, max_size=6),
    count=st.integers(1, 30),
)
def test_candidates_are_those_of_brute_force(
    grid: Grid,
    make_shifts: Callable[[Grid], Shifts],
    seed: int,
    batches: list[int],
    count: int,
) -> None:
    shifts = make_shifts(grid)
    signs = random_signs(sum(batches), seed, grid)
    queries = np.concatenate([random_signs(2, seed ^ 1, grid), signs[:2]])
    known = Candidates(grid)
    for part in np.split(signs, np.cumsum(batches)[:-1]):
        known.add(part)
    for query in queries:
        for end in (None, len(signs) // 2):
            chosen = known.nearest(query, count, shifts, end)
            assert chosen.tolist() == by_sketch(query, signs[:end], count, shifts)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, places=st.integers(1, 600), count=st.integers(1, 20))
def test_places_chosen_cell_upon_cell_are_those_of_brute_force(
    grid: Grid, seed: int, places: int, count: int
) -> None:
    """With fewer places compared with all shifts than there are, the unshifted ones come first."""
    distinct = random_signs(20, seed, grid)
    signs = distinct[np.random.default_rng(seed).integers(0, 20, places)]
    query = random_signs(1, seed ^ 1, grid)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "SHIFTED", 1)
        known = Candidates(grid)
        known.add(signs)
        for end in (places, places // 2):
            first = by_sketch(query, signs[:end], 2 * count, unshifted(grid))
            chosen = by_sketch(query, signs[first], count, tolerant(grid))
            expected = first if end <= count else [first[index] for index in chosen]
            assert known.nearest(query, count, tolerant(grid), end).tolist() == expected
