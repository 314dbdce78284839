# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The places that are worth comparing are those whose sketches are nearest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from feature_maps import GRIDS, TOLERANT, UNSHIFTED, random_signs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.imaging.payload import decode_compressed
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.candidates import SKETCHES, Candidates
from floppynet_vpr.mapping.cell_products import MatrixProducts
from floppynet_vpr.mapping.cells import turn
from floppynet_vpr.mapping.centred_map import CentredMap
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.ranking import smallest, smallest_set
from floppynet_vpr.mapping.shifts import Shifts, tolerant, unshifted
from floppynet_vpr.training.images import open_images

seeds = st.integers(0, 2**32 - 1)


def cheapest(
    query: NDArray[np.uint8],
    signs: NDArray[np.uint8],
    count: int,
    shifts: Shifts,
    cell_bytes: int,
) -> list[int]:
    """The places that differ least by so many bytes of each cell, ties to the first."""
    shape = len(signs), shifts.grid.cells * cell_bytes
    places = np.ascontiguousarray(signs[:, :, :cell_bytes]).reshape(shape)
    rows = np.arange(len(signs))
    costs = MatrixProducts().sketch_costs(query[:, :cell_bytes], places, rows, shifts)
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
    count=st.integers(300 // SKETCHES + 1, 60),
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
            expected = cheapest(query, signs[:end], count, shifts, grid.sketch_bytes)
            assert chosen.tolist() == expected


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, places=st.integers(1, 6000), count=st.integers(1, 20))
def test_of_many_places_those_with_the_nearest_outlines_come_first(
    grid: Grid, seed: int, places: int, count: int
) -> None:
    distinct = random_signs(20, seed, grid)
    signs = distinct[np.random.default_rng(seed).integers(0, 20, places)]
    query = random_signs(1, seed ^ 1, grid)[0]
    shifts = tolerant(grid)
    known = Candidates(grid)
    for part in np.array_split(signs, 3):
        known.add(part)
    for end in (places, places // 2):
        few = min(end, SKETCHES * count)
        first = cheapest(query, signs[:end], few, shifts.straight, grid.outline_bytes)
        chosen = cheapest(query, signs[first], count, shifts, grid.sketch_bytes)
        expected = first if end <= count else [first[index] for index in chosen]
        assert known.nearest(query, count, shifts, end).tolist() == expected


def test_straight_shifts_go_to_a_side_or_up_or_down() -> None:
    steps = [tuple(step) for step in TOLERANT.straight.steps.tolist()]
    assert sorted(steps) == [(-2, 0), (-1, 0), (0, -1), (0, 0), (0, 1), (1, 0), (2, 0)]
    for right, down in steps:
        index = TOLERANT.steps.tolist().index([right, down])
        assert TOLERANT.straight.costs[steps.index((right, down))] == TOLERANT.costs[index]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    size=st.integers(0, 5000),
    count=st.integers(1, 300),
    distinct=st.sampled_from([1, 3, 100, 1 << 30]),
    in_order=st.booleans(),
)
def test_the_smallest_as_a_set_are_the_smallest(
    kind: type, seed: int, size: int, count: int, distinct: int, in_order: bool
) -> None:
    values = np.random.default_rng(seed).integers(0, distinct, size).astype(kind)
    if in_order:
        values.sort()
    expected = np.sort(smallest(values, count))
    np.testing.assert_array_equal(smallest_set(values, count), expected)


def test_of_ten_thousand_real_places_hardly_any_nearest_is_lost(data_dir: Path) -> None:
    """Comparing all places with shifts would seldom find a nearer one than comparing candidates."""
    drives = {
        name: [file.read_bytes() for file in sorted((data_dir / name).rglob(f"*.{suffix}"))]
        for name, suffix in (
            ("gardens_point/day_right", "jpg"),
            ("gardens_point/night_right", "jpg"),
            ("gardens_point/day_left", "jpg"),
            ("nordland_64x32/summer", "png"),
            ("nordland_64x32/winter", "png"),
            ("indoor_tower", "webp"),
        )
    }
    photos = open_images(data_dir / "miniplaces", "train")
    places = {
        "walk": drives["gardens_point/day_right"],
        "train": drives["nordland_64x32/summer"],
        "tower": drives["indoor_tower"][::2],
    }
    left = 10_000 - sum(map(len, places.values()))
    places["photos"] = [photos.encoded(index).tobytes() for index in range(left)]
    reference = ReferenceMap("floppynet", "ab" * 32)
    for name, images in places.items():
        reference.begin_session(name)
        reference.extend(described(images), [name] * len(images))
    centred = CentredMap(reference, TOLERANT)
    everything = np.arange(len(reference))
    queries = {
        "night": drives["gardens_point/night_right"][::4],
        "left": drives["gardens_point/day_left"][::4],
        "winter": drives["nordland_64x32/winter"][::18],
        "tower": drives["indoor_tower"][1::24],
    }
    lost = {}
    for name, images in queries.items():
        turned = turn(described(images), POOL5)
        lost[name] = 0.0
        for image in turned:
            query = centred.query(image - turned.mean(axis=0))
            found, _ = centred.nearest(query, 1, len(reference))
            nearest = np.argmin(centred.compare(query, everything).squares)
            lost[name] += (nearest not in found) / len(turned)
    assert lost.pop("winter") <= 0.06, "of 64x32 pixels, of which most are alike"
    assert max(lost.values()) <= 0.01, lost


def described(images: list[bytes]) -> NDArray[np.float32]:
    extractor = create_extractor()
    return np.stack([extractor.describe(decode_compressed(image)) for image in images])
