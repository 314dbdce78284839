# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The map finds the nearest places, and keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.extraction import DESCRIPTOR_SIZE
from floppynet_vpr.extraction.extractor import normalise
from floppynet_vpr.mapping import STORAGES, Calibration, MapError, Pose, ReferenceMap
from floppynet_vpr.network.weights import load_weights


def random_descriptors(count: int, seed: int) -> NDArray[np.float32]:
    """Descriptors of integers about as large as pool5, (count, 9216) float32."""
    rng = np.random.default_rng(seed)
    pool5 = rng.integers(-600, 601, (count, DESCRIPTOR_SIZE)).astype(np.int16)
    return np.stack([normalise(row) for row in pool5]) if count else np.empty((0, DESCRIPTOR_SIZE))


def map_of(descriptors: NDArray[np.float32], storage: str = "float32") -> ReferenceMap:
    reference = ReferenceMap("FloppyNet", "0" * 64, storage)
    for index, descriptor in enumerate(descriptors):
        reference.add(descriptor, f"place {index}", index)
    return reference


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12),
    st.lists(st.integers(0, 11), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(0, 2**32 - 1),
)
def test_search_is_brute_force_with_ties_to_the_lower_id(
    distinct: int, picks: list[int], k: int, seed: int
) -> None:
    rows = random_descriptors(distinct, seed)
    places = rows[[pick % distinct for pick in picks]]
    queries = np.concatenate([rows[:2], random_descriptors(2, seed ^ 1)])
    result = map_of(places).search(queries, k)
    exact = np.linalg.norm(queries[:, None].astype(np.float64) - places.astype(np.float64), axis=-1)
    # Places nearly as far as each other may be told apart by float32 alone, so it is not the
    # order of all ids that is compared but what each answer claims.
    nearest = np.sort(exact, axis=1)[:, :k]
    np.testing.assert_allclose(result.distances, nearest, atol=1e-5)
    claimed = np.take_along_axis(exact, result.ids, axis=1)
    np.testing.assert_allclose(result.distances, claimed, atol=1e-5)
    assert (np.diff(result.distances, axis=1) >= 0).all()
    for ids, distances in zip(result.ids, result.distances, strict=True):
        for first in range(len(places)):
            twins = np.flatnonzero((places == places[first]).all(1))
            listed = [place for place in ids if place in twins]
            assert listed == twins[: len(listed)].tolist()
        assert len(set(ids.tolist())) == len(ids) == len(distances)
    assert result.ids.dtype == np.int64
    assert result.distances.dtype == np.float32


def test_many_duplicates_are_listed_by_id() -> None:
    one, other = random_descriptors(2, seed=0)
    reference = map_of(np.stack([other] + [one] * 300))
    result = reference.search(one, 250)
    np.testing.assert_array_equal(result.ids[0], np.arange(1, 251))
    assert not result.distances.any()


@pytest.mark.parametrize("places", [1, 30, 200])
def test_single_queries_equal_a_batch_bit_for_bit(places: int) -> None:
    reference = map_of(random_descriptors(places, seed=1))
    queries = random_descriptors(70, seed=2)
    batch = reference.search(queries, 10)
    for index, query in enumerate(queries):
        single = reference.search(query, 10)
        np.testing.assert_array_equal(single.ids[0], batch.ids[index])
        np.testing.assert_array_equal(single.distances[0], batch.distances[index])


def test_an_empty_map_gives_no_neighbours() -> None:
    result = map_of(np.empty((0, DESCRIPTOR_SIZE), np.float32)).search(random_descriptors(3, 0), 5)
    assert result.ids.shape == result.distances.shape == (3, 0)


def test_no_queries_give_no_answers() -> None:
    reference = map_of(random_descriptors(4, seed=0))
    assert reference.search(np.empty((0, DESCRIPTOR_SIZE), np.float32), 2).ids.shape == (0, 2)


def test_more_neighbours_than_places_gives_all_places() -> None:
    reference = map_of(random_descriptors(4, seed=0))
    assert sorted(reference.search(random_descriptors(1, 9), 100).ids[0]) == [0, 1, 2, 3]


@pytest.mark.parametrize("k", [0, -3])
def test_fewer_than_one_neighbour_is_refused(k: int) -> None:
    with pytest.raises(MapError, match="at least one"):
        map_of(random_descriptors(2, seed=0)).search(random_descriptors(1, 0), k)


def not_a_number() -> NDArray[np.float32]:
    descriptor = random_descriptors(1, seed=0)
    descriptor[0, 7] = np.nan
    return descriptor


@pytest.mark.parametrize(
    "descriptor",
    [
        np.full(DESCRIPTOR_SIZE, 0.5, np.float32),
        np.zeros(DESCRIPTOR_SIZE, np.float32),
        np.ones(1, np.float32),
        np.ones((6, 6, 256), np.float32),
        random_descriptors(2, seed=0),
        not_a_number(),
    ],
)
def test_a_place_needs_one_normalised_descriptor(descriptor: NDArray[np.float32]) -> None:
    reference = map_of(random_descriptors(1, seed=0))
    with pytest.raises(MapError):
        reference.add(descriptor, "wrong")
    assert len(reference) == len(reference.places) == 1


@pytest.mark.parametrize("shape", [(5,), (2, 100), (1, 6, 6, 256)])
def test_a_query_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MapError, match="9216"):
        map_of(random_descriptors(1, seed=0)).search(np.zeros(shape, np.float32), 1)


def test_a_query_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(MapError, match="finite"):
        map_of(random_descriptors(1, seed=0)).search(not_a_number(), 1)


def test_places_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    reference = ReferenceMap.for_weights(load_weights())
    descriptors = random_descriptors(5, seed=0)
    names = [
        "",
        "straße/冬 \U0001f3d4.png",
        'line\nbreak "quoted"',
        "bag:/camera/1",
        "bad \udcff byte",
    ]
    stamps = [0, -1, 2**63 - 1, -(2**63), 1_700_000_000_000_000_001]
    poses = [None, Pose(1.5, -2.25, 1e-300), Pose(0, 0, 0, 0, 0, 1, 0), None, Pose(1e9, 0.1, 0.2)]
    for descriptor, name, stamp, pose in zip(descriptors, names, stamps, poses, strict=True):
        reference.add(descriptor, name, stamp, pose)
    path = tmp_path / "new folder" / "ma\u00dfe.fvm"
    reference.save(path)
    loaded = ReferenceMap.load(path)
    assert list(loaded.places) == list(reference.places)
    assert [place.name for place in loaded.places] == names
    assert [place.stamp_ns for place in loaded.places] == stamps
    assert [place.pose for place in loaded.places] == poses
    assert loaded.network == "floppynet"
    loaded.require_weights(load_weights())
    queries = random_descriptors(3, seed=8)
    np.testing.assert_array_equal(loaded.descriptors(), reference.descriptors())
    before, after = reference.search(queries, 5), loaded.search(queries, 5)
    np.testing.assert_array_equal(after.ids, before.ids)
    np.testing.assert_array_equal(after.distances, before.distances)


def test_a_loaded_map_goes_on_growing(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    descriptors = random_descriptors(6, seed=0)
    map_of(descriptors[:3]).save(path)
    loaded = ReferenceMap.load(path)
    for index, descriptor in enumerate(descriptors[3:]):
        assert loaded.add(descriptor, f"later {index}").id == 3 + index
    np.testing.assert_array_equal(loaded.search(descriptors, 1).ids[:, 0], np.arange(6))


@pytest.mark.parametrize("storage", STORAGES)
def test_selected_places_are_copied_bit_for_bit_and_numbered_anew(
    storage: str, tmp_path: Path
) -> None:
    rows = random_descriptors(90, seed=0)
    reference = map_of(rows, storage)
    ids = np.random.default_rng(1).permutation(90)[:60]
    kept = np.sort(ids).tolist()
    before = [reference.descriptors(place, place + 1)[0] for place in kept]
    selected = reference.select(ids.tolist())
    assert len(reference) == 90
    assert [place.id for place in selected.places] == list(range(60))
    assert [place.name for place in selected.places] == [f"place {place}" for place in kept]
    np.testing.assert_array_equal(selected.descriptors(), before)
    # Adding the same descriptors one by one gives the same file.
    again = ReferenceMap("FloppyNet", "0" * 64, storage)
    for place in kept:
        again.add(rows[place], f"place {place}", place)
    selected.save(tmp_path / "selected.fvm")
    again.save(tmp_path / "again.fvm")
    assert (tmp_path / "selected.fvm").read_bytes() == (tmp_path / "again.fvm").read_bytes()


def test_a_selection_leaves_calibrations_behind_and_goes_on_growing() -> None:
    reference = map_of(random_descriptors(4, seed=0), "pq")
    reference.calibrations["none"] = Calibration("none", (0.5,), (0.9,), 0.6, 0.9, 40, 30, 28)
    selected = reference.select([3, 1])
    assert not selected.calibrations
    assert selected.add(random_descriptors(1, seed=5)[0], "new").id == 2
    assert len(reference.select([])) == 0


@pytest.mark.parametrize("place", [-1, 4])
def test_a_place_that_does_not_exist_cannot_be_selected(place: int) -> None:
    with pytest.raises(MapError, match=f"no place {place}"):
        map_of(random_descriptors(4, seed=0)).select([0, place])


@pytest.mark.parametrize("storage", STORAGES)
def test_adding_no_places_changes_nothing(storage: str) -> None:
    reference = map_of(random_descriptors(2, seed=0), storage)
    assert not reference.extend(np.empty((0, DESCRIPTOR_SIZE), np.float32), [])
    assert len(reference) == 2
    assert len(reference.descriptors()) == 2


def test_an_empty_map_can_be_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    map_of(np.empty((0, DESCRIPTOR_SIZE), np.float32)).save(path)
    loaded = ReferenceMap.load(path)
    assert len(loaded) == 0
    assert loaded.add(random_descriptors(1, 0)[0], "first").id == 0


def test_descriptors_are_a_copy(tmp_path: Path) -> None:
    reference = map_of(random_descriptors(2, seed=0))
    reference.descriptors()[:] = 0
    assert reference.descriptors().any()


def test_descriptors_of_other_weights_are_refused() -> None:
    with pytest.raises(MapError, match="other weights"):
        map_of(random_descriptors(1, seed=0)).require_weights(load_weights())
