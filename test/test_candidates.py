# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The places that are worth comparing are those whose sketches are nearest."""

from __future__ import annotations

import numpy as np
import pytest
from feature_maps import random_signs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.mapping import candidates
from floppynet_vpr.mapping.candidates import Candidates
from floppynet_vpr.mapping.cell_products import SKETCH_BYTES, MatrixProducts
from floppynet_vpr.mapping.shifts import TOLERANT, UNSHIFTED, Shifts

seeds = st.integers(0, 2**32 - 1)


def by_sketch(
    query: NDArray[np.uint8], signs: NDArray[np.uint8], count: int, shifts: Shifts
) -> list[int]:
    """The places whose sketches are nearest, over all shifts, ties to the first."""
    differing = MatrixProducts().sketch_distances(
        query[:, :SKETCH_BYTES], signs[:, :, :SKETCH_BYTES], shifts
    )
    costs = (differing / (shifts.overlaps * 64.0) * shifts.costs).min(axis=1)
    return sorted(np.argsort(costs, kind="stable")[:count].tolist())


@pytest.mark.parametrize("end", [None, 5, 0])
def test_few_places_are_all_candidates(end: int | None) -> None:
    known = Candidates()
    known.add(random_signs(9, seed=0))
    chosen = known.nearest(random_signs(1, seed=1)[0], 9, TOLERANT, end)
    assert chosen.tolist() == list(range(9 if end is None else end))
    assert not len(Candidates().nearest(random_signs(1, seed=1)[0], 9, TOLERANT))


def test_among_equal_candidates_the_first_are_chosen() -> None:
    one, other = random_signs(2, seed=0)
    known = Candidates()
    known.add(np.stack([other] * 3 + [one] * 5000))
    for count in (1, 40, 1500):
        chosen = known.nearest(one, count, TOLERANT)
        np.testing.assert_array_equal(chosen, 3 + np.arange(count))
        np.testing.assert_array_equal(known.nearest(one, count, UNSHIFTED, 4000), chosen)


@pytest.mark.parametrize("shifts", [UNSHIFTED, TOLERANT], ids=["unshifted", "tolerant"])
@pytest.mark.parametrize("shard", [7, 64, 1 << 16])
@settings(max_examples=10, deadline=None)
@given(
    seed=seeds,
    batches=st.lists(st.integers(0, 50), min_size=1, max_size=6),
    count=st.integers(1, 30),
)
def test_candidates_are_those_of_brute_force_in_any_number_of_shards(
    shard: int, shifts: Shifts, seed: int, batches: list[int], count: int
) -> None:
    signs = random_signs(sum(batches), seed)
    queries = np.concatenate([random_signs(2, seed ^ 1), signs[:2]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_SHARD", shard)
        known = Candidates()
        for part in np.split(signs, np.cumsum(batches)[:-1]):
            known.add(part)
        for query in queries:
            for end in (None, len(signs) // 2):
                chosen = known.nearest(query, count, shifts, end)
                assert chosen.tolist() == by_sketch(query, signs[:end], count, shifts)


@pytest.mark.parametrize("shard", [7, 64, 1 << 16])
@settings(max_examples=10, deadline=None)
@given(seed=seeds, places=st.integers(1, 300), count=st.integers(1, 20))
def test_places_chosen_cell_upon_cell_are_those_of_brute_force(
    shard: int, seed: int, places: int, count: int
) -> None:
    """With fewer places compared with all shifts than there are, the unshifted ones come first."""
    distinct = random_signs(20, seed)
    signs = distinct[np.random.default_rng(seed).integers(0, 20, places)]
    query = random_signs(1, seed ^ 1)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_SHARD", shard)
        patch.setattr(candidates, "SHIFTED", 1)
        known = Candidates()
        known.add(signs)
        for end in (places, places // 2):
            first = by_sketch(query, signs[:end], 2 * count, UNSHIFTED)
            chosen = by_sketch(query, signs[first], count, TOLERANT)
            expected = first if end <= count else [first[index] for index in chosen]
            assert known.nearest(query, count, TOLERANT, end).tolist() == expected
