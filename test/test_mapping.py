# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The map finds the nearest places, and keeps them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
def test_search_is_brute_force_with_ties_to_the_first(
    distinct: int, picks: list[int], k: int, seed: int
) -> None:
    rows = random_descriptors(distinct, seed)
    places = rows[[pick % distinct for pick in picks]]
    queries = np.concatenate([rows[:2], random_descriptors(2, seed ^ 1)])
    result = map_of(places).search(queries, k)
    exact = np.linalg.norm(queries[:, None].astype(np.float64) - places.astype(np.float64), axis=-1)
    # Places nearly as far as each other may be told apart by float32 alone, so it is not the
    # order of all places that is compared but what each answer claims.
    nearest = np.sort(exact, axis=1)[:, :k]
    np.testing.assert_allclose(result.distances, nearest, atol=1e-5)
    claimed = np.take_along_axis(exact, result.indices, axis=1)
    np.testing.assert_allclose(result.distances, claimed, atol=1e-5)
    assert (np.diff(result.distances, axis=1) >= 0).all()
    for indices, distances in zip(result.indices, result.distances, strict=True):
        for first in range(len(places)):
            twins = np.flatnonzero((places == places[first]).all(1))
            listed = [place for place in indices if place in twins]
            assert listed == twins[: len(listed)].tolist()
        assert len(set(indices.tolist())) == len(indices) == len(distances)
    assert result.indices.dtype == np.int64
    assert result.distances.dtype == np.float32


def test_many_duplicates_are_listed_in_the_order_of_adding() -> None:
    one, other = random_descriptors(2, seed=0)
    reference = map_of(np.stack([other] + [one] * 300))
    result = reference.search(one, 250)
    np.testing.assert_array_equal(result.indices[0], np.arange(1, 251))
    assert not result.distances.any()


@pytest.mark.parametrize("places", [1, 30, 200])
def test_single_queries_equal_a_batch_bit_for_bit(places: int) -> None:
    reference = map_of(random_descriptors(places, seed=1))
    queries = random_descriptors(70, seed=2)
    batch = reference.search(queries, 10)
    for index, query in enumerate(queries):
        single = reference.search(query, 10)
        np.testing.assert_array_equal(single.indices[0], batch.indices[index])
        np.testing.assert_array_equal(single.distances[0], batch.distances[index])


def test_an_empty_map_gives_no_neighbours() -> None:
    result = map_of(np.empty((0, DESCRIPTOR_SIZE), np.float32)).search(random_descriptors(3, 0), 5)
    assert result.indices.shape == result.distances.shape == (3, 0)


def test_no_queries_give_no_answers() -> None:
    reference = map_of(random_descriptors(4, seed=0))
    assert reference.search(np.empty((0, DESCRIPTOR_SIZE), np.float32), 2).indices.shape == (0, 2)


def test_more_neighbours_than_places_gives_all_places() -> None:
    reference = map_of(random_descriptors(4, seed=0))
    assert sorted(reference.search(random_descriptors(1, 9), 100).indices[0]) == [0, 1, 2, 3]


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
    np.testing.assert_array_equal(after.indices, before.indices)
    np.testing.assert_array_equal(after.distances, before.distances)


def test_a_loaded_map_goes_on_growing(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    descriptors = random_descriptors(6, seed=0)
    map_of(descriptors[:3]).save(path)
    loaded = ReferenceMap.load(path)
    for index, descriptor in enumerate(descriptors[3:]):
        place = loaded.add(descriptor, f"later {index}")
        assert loaded.index_of(place.id) == 3 + index
        assert place.number == index
    first, later = loaded.sessions
    assert first.uid != later.uid
    assert loaded.borders == [3]
    np.testing.assert_array_equal(loaded.search(descriptors, 1).indices[:, 0], np.arange(6))


@pytest.mark.parametrize("storage", STORAGES)
def test_selected_places_are_copied_bit_for_bit_and_keep_their_ids(
    storage: str, tmp_path: Path
) -> None:
    rows = random_descriptors(90, seed=0)
    reference = map_of(rows, storage)
    indices = np.random.default_rng(1).permutation(90)[:60]
    kept = np.sort(indices).tolist()
    before = [reference.descriptors(place, place + 1)[0] for place in kept]
    selected = reference.select(indices.tolist())
    assert len(reference) == 90
    assert list(selected.places) == [reference.places[place] for place in kept]
    assert [selected.index_of(reference.places[place].id) for place in kept] == list(range(60))
    forgotten = set(range(90)) - set(kept)
    assert {selected.index_of(reference.places[place].id) for place in forgotten} == {None}
    np.testing.assert_array_equal(selected.descriptors(), before)
    np.testing.assert_array_equal(selected.means(), reference.means())
    all_places = reference.distances(rows[0], np.array(kept))
    np.testing.assert_array_equal(selected.distances(rows[0], np.arange(60)), all_places)
    # Selecting in steps gives the same file.
    path, again = tmp_path / "selected.fvm", tmp_path / "again.fvm"
    selected.save(path)
    steps = reference.select(range(kept[-1] + 1))
    steps.select(kept).save(again)
    assert path.read_bytes() == again.read_bytes()
    assert list(ReferenceMap.load(path).places) == list(selected.places)


def test_a_selection_leaves_calibrations_behind_and_goes_on_growing() -> None:
    reference = map_of(random_descriptors(4, seed=0), "binary")
    reference.calibrations["none"] = Calibration("none", (0.5,), (0.9,), 0.6, 0.9, 40, 30, 28)
    selected = reference.select([3, 1])
    assert not selected.calibrations
    new = selected.add(random_descriptors(1, seed=5)[0], "new")
    assert selected.index_of(new.id) == 2
    assert new.session == reference.places[0].session
    # Forgotten places leave their ids unused.
    assert new.number == 4
    assert len(reference.select([])) == 0


def test_places_stay_of_the_session_last_begun_when_all_of_it_are_forgotten() -> None:
    reference = map_of(random_descriptors(2, seed=0))
    reference.begin_session("night", "bob", "odom")
    first = reference.add(random_descriptors(1, seed=1)[0], "first")
    for kept in ([0, 1], []):
        second = reference.select(kept).add(random_descriptors(1, seed=2)[0], "second")
        assert second.session == first.session
        assert second.number == 1


def test_a_session_begins_with_its_first_place() -> None:
    rows = random_descriptors(4, seed=0)
    reference = ReferenceMap("FloppyNet", "0" * 64)
    reference.begin_session("never driven")
    reference.begin_session("day", "alice", "map", fixed=True)
    assert not reference.sessions
    reference.add(rows[0], "a", 70)
    reference.add(rows[1], "b", 80)
    reference.begin_session("dusk", "bob", "odom")
    assert len(reference.sessions) == 1
    reference.add(rows[2], "c", 90)
    reference.begin_session("night", "bob", "odom")
    reference.add(rows[3], "d", 95)
    day, dusk, night = reference.sessions
    assert reference.borders == [2, 3]
    assert (day.name, day.robot, day.frame, day.start_ns) == ("day", "alice", "map", 70)
    assert (dusk.name, dusk.robot, dusk.frame, dusk.start_ns) == ("dusk", "bob", "odom", 90)
    assert [place.number for place in reference.places] == [0, 1, 0, 0]
    assert [place.id >> 24 for place in reference.places] == [
        s.uid for s in (day, day, dusk, night)
    ]
    assert all(0 <= place.id < 2**63 for place in reference.places)
    assert not day.shares_frame(dusk)
    # Odometry starts anew with each drive.
    assert not dusk.shares_frame(night)
    assert dusk.shares_frame(dusk)


def test_fixed_frames_of_one_name_are_one_and_no_frame_is_shared_with_none() -> None:
    rows = random_descriptors(2, seed=0)
    maps = [ReferenceMap("FloppyNet", "0" * 64) for _ in range(3)]
    for reference, name in zip(maps, ("map", "map", "site"), strict=True):
        reference.begin_session("", "", name, fixed=True)
        reference.add(rows[0], name, len(name))
        reference.begin_session()
        reference.add(rows[1], name)
    (first, bare), (second, _), (other, _) = (reference.sessions for reference in maps)
    assert first.shares_frame(second)
    assert not first.shares_frame(other)
    assert not bare.shares_frame(bare)
    assert not bare.shares_frame(first)


@pytest.mark.parametrize("storage", STORAGES)
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_adding_in_any_batches_gives_the_same_bytes(storage: str, counts: list[int]) -> None:
    rows = random_descriptors(sum(counts), seed=3)
    single, batches = (ReferenceMap("FloppyNet", "0" * 64, storage) for _ in range(2))
    names = [f"place {index}" for index in range(len(rows))]
    stamps = [7 * index for index in range(len(rows))]
    for row, name, stamp in zip(rows, names, stamps, strict=True):
        single.add(row, name, stamp)
    first = 0
    for count in counts:
        part = slice(first, first + count)
        added = batches.extend(rows[part], names[part], stamps[part])
        assert [place.name for place in added] == names[part]
        first += count
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("single", "batches")]
        for reference, path in zip((single, batches), paths, strict=True):
            reference.save(path)
        assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    "given",
    [
        {"names": ["a"]},
        {"names": ["a", "b", "c"]},
        {"stamps_ns": [1]},
        {"poses": [None] * 3},
        {"features": [None]},
    ],
)
def test_facts_for_another_number_of_places_are_refused(given: dict[str, Any]) -> None:
    reference = map_of(random_descriptors(1, seed=0))
    with pytest.raises(MapError, match="for all places or none"):
        reference.extend(random_descriptors(2, seed=1), **{"names": ["a", "b"]} | given)
    assert len(reference) == 1


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


@pytest.mark.parametrize("features", [0, 20])
@pytest.mark.parametrize("storage", STORAGES)
def test_an_empty_map_can_be_saved_and_loaded(storage: str, features: int, tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    ReferenceMap("FloppyNet", "0" * 64, storage, features).save(path)
    loaded = ReferenceMap.load(path)
    assert len(loaded) == 0
    assert not loaded.sessions
    assert len(loaded.descriptors()) == len(loaded.means()) == 0
    assert loaded.add(random_descriptors(1, 0)[0], "first").number == 0


def test_descriptors_are_a_copy(tmp_path: Path) -> None:
    reference = map_of(random_descriptors(2, seed=0))
    reference.descriptors()[:] = 0
    assert reference.descriptors().any()


def test_descriptors_of_other_weights_are_refused() -> None:
    with pytest.raises(MapError, match="other weights"):
        map_of(random_descriptors(1, seed=0)).require_weights(load_weights())
