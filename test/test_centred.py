# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places less the mean of their drive are compared by the formula, and found where they moved."""

from __future__ import annotations

import numpy as np
import pytest
from feature_maps import CELLS, CHANNELS, SHIFTS, TOLERANT, pairs_of, random_maps, shifted
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.cells import (
    Codes,
    Rounded,
    codes,
    encode,
    round_cells,
    turn_back,
)
from floppynet_vpr.mapping.centred import Means, compare
from floppynet_vpr.mapping.centred_map import CentredMap
from floppynet_vpr.mapping.grid import POOL5
from floppynet_vpr.mapping.shifts import Shifts

seeds = st.integers(0, 2**32 - 1)


def by_formula(
    query: Rounded,
    places: Codes,
    means: NDArray[np.float64],
    shifts: Shifts,
) -> NDArray[np.float64]:
    """Squared distances at every shift, (n, shifts), as `centred` states them, in float64.

    `means` are those of the places' drives, (n, 36, 256).
    """
    ours = query.values().astype(np.float64) * query.steps[:, None]
    signs = 2.0 * np.unpackbits(places.signs, axis=-1) - 1
    theirs = signs * places.factors[..., None]
    squares = places.norms.astype(np.float64) ** 2
    remainders = squares - 2 * (theirs * means).sum(-1) + (means**2).sum(-1)
    remainders = np.maximum(remainders, 0.05 * squares)
    found = np.empty((len(signs), len(shifts)))
    for number, (right, down) in enumerate(shifts.steps.tolist()):
        query_cells, place_cells = np.array(pairs_of(right, down)).T
        likeness = (ours[query_cells] * (theirs - means)[:, place_cells]).sum(axis=(1, 2))
        sizes = query.squares[query_cells].sum() * remainders[:, place_cells].sum(axis=1)
        cosine = np.divide(likeness, np.sqrt(sizes), out=np.zeros_like(likeness), where=sizes > 0)
        found[:, number] = 2 * (1 - cosine) * 1.05 ** (abs(right) + abs(down))
    return found


@pytest.mark.parametrize("shifts", SHIFTS.values(), ids=SHIFTS)
@settings(max_examples=12, deadline=None)
@given(seed=seeds, count=st.integers(0, 30), strength=st.sampled_from([0.0, 0.5, 2.0]))
def test_comparisons_are_those_of_the_formula(
    shifts: Shifts, seed: int, count: int, strength: float
) -> None:
    drives = strength * random_maps(3, seed ^ 1)
    drive = np.random.default_rng(seed).integers(0, 3, count)
    places = random_maps(count, seed) + drives[drive]
    query = round_cells(random_maps(1, seed ^ 2)[0], 4)
    known, means = codes(encode(places), POOL5), Means(drives, POOL5)
    remainders = np.empty((count, CELLS), np.float32)
    for number in range(3):
        chosen = np.flatnonzero(drive == number)
        part = Codes(known.signs[chosen], known.norms[chosen], known.factors[chosen])
        remainders[chosen] = means.remainders(part, number)
    found = compare(query, known, remainders, means.products(query, shifts)[drive], shifts)
    assert found.squares.dtype == np.float32
    # Of strong means, large products are subtracted from each other in float32.
    atol = 1e-4 * max(1, 2 * strength)
    # The means are rounded to 8 bits first.
    kept = [round_cells(mean, 8) for mean in drives]
    rounded = np.array([mean.values().astype(np.float64) * mean.steps[:, None] for mean in kept])
    expected = by_formula(query, known, rounded[drive], shifts)
    np.testing.assert_allclose(
        found.squares, np.clip(expected.min(axis=1, initial=4), 0, 4), atol=atol
    )
    claimed = expected[np.arange(count), found.shifts]
    np.testing.assert_allclose(found.squares, np.clip(claimed, 0, 4), atol=atol)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_a_place_with_a_mean_of_nothing_is_at_distance_0_of_itself(seed: int) -> None:
    places = random_maps(10, seed)
    means = Means(np.zeros((1, CELLS, CHANNELS), np.float32), POOL5)
    known = codes(encode(places), POOL5)
    for index, place in enumerate(places):
        query = round_cells(place, 8)
        found = compare(
            query, known, means.remainders(known, 0), means.products(query, TOLERANT)[0], TOLERANT
        )
        assert found.squares.argmin() == index
        assert found.squares[index] < 0.02
        assert TOLERANT.steps[found.shifts[index]].tolist() == [0, 0]


def test_places_and_queries_without_any_value_are_as_far_as_unrelated_ones() -> None:
    maps = random_maps(2, seed=0)
    maps[0] = 0
    means = Means(np.zeros((1, CELLS, CHANNELS), np.float32), POOL5)
    known = codes(encode(maps), POOL5)
    for query, nothing in ((round_cells(maps[0], 4), [0, 1]), (round_cells(maps[1], 4), [0])):
        found = compare(
            query, known, means.remainders(known, 0), means.products(query, TOLERANT)[0], TOLERANT
        )
        assert found.squares[nothing].tolist() == [2.0] * len(nothing)
        assert not found.shifts[nothing].any()


@pytest.mark.parametrize("step", TOLERANT.steps.tolist())
def test_a_shifted_place_is_found_at_that_shift(step: list[int]) -> None:
    right, down = step
    places = random_maps(300, seed=0)
    places /= np.sqrt((places**2).sum(axis=(1, 2), keepdims=True))
    reference = ReferenceMap("floppynet", "0" * 64)
    reference.extend(turn_back(places, POOL5), [f"place {index}" for index in range(300)])
    centred = CentredMap(reference, TOLERANT)
    for seen in (0, 17, 299):
        # A place that is read farther to the right has moved to the right.
        query = centred.query(shifted(places[seen], -right, -down) - centred.mean)
        indices, found = centred.nearest(query, 1, 300)
        best = found.squares.argmin()
        assert indices[best] == seen
        assert TOLERANT.steps[found.shifts[best]].tolist() == step


def test_means_of_few_places_are_drawn_to_that_of_the_map_and_new_sessions_have_it() -> None:
    places = random_maps(60, seed=0) + 0.5 * random_maps(1, seed=1)
    places /= np.sqrt((places**2).sum(axis=(1, 2), keepdims=True))
    descriptors = turn_back(places, POOL5)
    reference = ReferenceMap("floppynet", "0" * 64)
    for session, part in (("long", slice(40)), ("short", slice(40, 45))):
        reference.begin_session(session)
        reference.extend(descriptors[part], ["place"] * len(places[part]))
    centred = CentredMap(reference, TOLERANT)
    reference.begin_session("later")
    reference.extend(descriptors[45:], ["place"] * 15)
    long, short = places[:40].mean(axis=0), places[40:45].mean(axis=0)
    np.testing.assert_allclose(reference.means()[:2], [long, short], atol=1e-6)
    whole = places[:45].mean(axis=0)
    np.testing.assert_allclose(centred.mean, whole, atol=1e-6)
    drawn = [long + (whole - long) * 10 / 50, short + (whole - short) * 10 / 15, whole]
    means = Means(np.array(drawn, np.float32), POOL5)
    query = centred.query(places[50] - centred.mean)
    found = centred.compare(query, np.arange(60))
    known = codes(encode(places), POOL5)
    drives = np.repeat([0, 1, 2], [40, 5, 15])
    remainders = np.concatenate(
        [
            means.remainders(reference.codes(np.flatnonzero(drives == number)), number)
            for number in range(3)
        ]
    )
    products = means.products(query.rounded, TOLERANT)
    expected = compare(query.rounded, known, remainders, products[drives], TOLERANT)
    np.testing.assert_allclose(found.squares, expected.squares, atol=2e-3)
    assert found.squares.argmin() == 50
    assert remainders.dtype == np.float32
