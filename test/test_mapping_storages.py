# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Every storage keeps distances on the scale of eq. 6, with the error it states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.commands import build_map, map_info
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.extraction import DESCRIPTOR_SIZE, create_extractor
from floppynet_vpr.mapping import STORAGES, MapError, ReferenceMap
from floppynet_vpr.mapping.descriptor_index import COMPARED

STATED_ERROR = {"float32": 5e-7, "binary": 0.016}
"""Standard deviation of a squared distance, as the storages' table says."""

LOSSY = tuple(name for name, storage in STORAGES.items() if not storage.exact)


def random_descriptors(count: int, seed: int, offset: float = 0.0) -> NDArray[np.float32]:
    """Descriptors with channel means of their own and `offset` in common, (count, 9216)."""
    rng = np.random.default_rng(seed)
    values = rng.normal(offset, 1, (count, 1, 256)) + rng.normal(0, 1, (count, 36, 256))
    rows = np.rint(100 * values).reshape(count, DESCRIPTOR_SIZE)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def map_of(descriptors: NDArray[np.float32], storage: str) -> ReferenceMap:
    reference = ReferenceMap("floppynet", "0" * 64, storage)
    count = len(descriptors)
    reference.extend(descriptors, [f"place {i}" for i in range(count)], list(range(count)))
    return reference


def exact_squares(queries: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.stack([((places - query.astype(np.float64)) ** 2).sum(-1) for query in queries])


def squares_by_place(reference: ReferenceMap, queries: NDArray[np.float32]) -> NDArray[np.float64]:
    result = reference.search(queries, len(reference))
    squares = np.empty(result.indices.shape)
    np.put_along_axis(squares, result.indices, result.distances.astype(np.float64) ** 2, axis=1)
    return squares


@pytest.mark.parametrize("storage", STORAGES)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 2.0]))
def test_distances_are_those_of_the_descriptors_within_the_stated_error(
    storage: str, seed: int, offset: float
) -> None:
    places = random_descriptors(20, seed, offset)
    queries = np.concatenate([places[:3], random_descriptors(3, seed ^ 1, offset)])
    exact = exact_squares(queries, places)
    found = squares_by_place(map_of(places, storage), queries)
    # What cells have in common errs alike in all: at an offset of 2 by 1.7 times what is stated.
    # Of 120 values the worst stays within 6 standard deviations in all runs.
    np.testing.assert_allclose(found, exact, atol=6 * 1.7 * STATED_ERROR[storage])


@pytest.mark.parametrize("storage", STORAGES)
def test_real_images_meet_the_stated_error(storage: str, data_dir: Path) -> None:
    extractor = create_extractor()
    folder = data_dir / "gardens_point"
    places, queries = (
        np.stack([extractor.describe(f.rgb) for f in open_source(folder / name, every=5)])
        for name in ("day_right", "night_right")
    )
    error = squares_by_place(map_of(places, storage), queries) - exact_squares(queries, places)
    assert error.std() < STATED_ERROR[storage]
    assert abs(error.mean()) < STATED_ERROR[storage] / 4


@pytest.mark.parametrize("storage", STORAGES)
def test_a_place_finds_itself_at_distance_0(storage: str) -> None:
    places = random_descriptors(30, seed=3)
    result = map_of(places, storage).search(places, 1)
    np.testing.assert_array_equal(result.indices[:, 0], np.arange(30))
    assert result.distances.max() < 0.01


@pytest.mark.parametrize("storage", STORAGES)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(1, 90))
def test_neighbours_are_in_order_with_ties_to_the_first(
    storage: str, picks: list[int], k: int
) -> None:
    distinct = random_descriptors(5, seed=0)
    result = map_of(distinct[picks], storage).search(random_descriptors(3, seed=1), k)
    assert result.indices.shape == (3, min(k, len(picks)))
    for indices, distances in zip(result.indices, result.distances, strict=True):
        assert len(set(indices.tolist())) == len(indices)
        assert (np.diff(distances) >= 0).all()
        for index in np.flatnonzero(np.diff(distances) == 0):
            assert indices[index] < indices[index + 1]
        # Equal descriptors are equally far, bit for bit, wherever they are in the map.
        for pick in set(picks):
            assert (
                len({d for i, d in zip(indices, distances, strict=True) if picks[i] == pick}) <= 1
            )


@pytest.mark.parametrize("storage", STORAGES)
def test_among_more_equal_places_than_are_compared_the_first_win(storage: str) -> None:
    one, other = random_descriptors(2, seed=0)
    places = np.stack([other] * 5 + [one] * (COMPARED + 90))
    result = map_of(places, storage).search(one, COMPARED)
    np.testing.assert_array_equal(result.indices[0], 5 + np.arange(COMPARED))


@pytest.mark.parametrize("count", [40, COMPARED + 1, 3 * COMPARED])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_single_query_equals_a_batch_bit_for_bit(storage: str, count: int) -> None:
    reference = map_of(random_descriptors(count, seed=1), storage)
    queries = random_descriptors(5, seed=2)
    batch = reference.search(queries, 7)
    for index, query in enumerate(queries):
        single = reference.search(query, 7)
        np.testing.assert_array_equal(single.indices[0], batch.indices[index])
        np.testing.assert_array_equal(single.distances[0], batch.distances[index])


@pytest.mark.parametrize("storage", STORAGES)
def test_a_saved_and_loaded_map_gives_the_same_answers_and_grows(
    storage: str, tmp_path: Path
) -> None:
    path = tmp_path / "map.fvm"
    descriptors = random_descriptors(COMPARED + 300, seed=0)
    reference = map_of(descriptors[:-10], storage)
    reference.save(path)
    loaded = ReferenceMap.load(path)
    assert loaded.storage == storage
    assert loaded.bytes_per_place == reference.bytes_per_place
    assert path.stat().st_size < len(reference) * (reference.bytes_per_place + 90) + 40_000
    queries = random_descriptors(5, seed=1)
    reference.begin_session()
    for index, descriptor in enumerate(descriptors[-10:], len(reference)):
        for grown in (reference, loaded):
            grown.add(descriptor, f"place {index}", index)
    assert list(loaded.places) == list(reference.places)
    np.testing.assert_array_equal(loaded.means(), reference.means())
    before, after = reference.search(queries, 9), loaded.search(queries, 9)
    np.testing.assert_array_equal(after.indices, before.indices)
    np.testing.assert_array_equal(after.distances, before.distances)
    np.testing.assert_array_equal(loaded.descriptors(), reference.descriptors())
    loaded.save(path)
    np.testing.assert_array_equal(
        ReferenceMap.load(path).search(queries, 9).indices, reference.search(queries, 9).indices
    )


@pytest.mark.parametrize("storage", LOSSY)
def test_revisited_places_are_found_in_a_map_too_large_to_compare_all(storage: str) -> None:
    places = random_descriptors(4 * COMPARED, seed=0)
    seen = np.arange(0, len(places), 31)
    queries = places[seen] + 0.9 * random_descriptors(len(seen), seed=1)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    exact = (queries @ places.T).argmax(1)
    found = map_of(places, storage).search(queries, 1).indices[:, 0]
    assert (found == exact).mean() >= 0.98


def test_float32_compares_all_places_however_many() -> None:
    places = random_descriptors(2 * COMPARED, seed=0)
    queries = random_descriptors(10, seed=1)
    exact = np.argsort(exact_squares(queries, places).round(6), axis=1, kind="stable")
    np.testing.assert_array_equal(
        map_of(places, "float32").search(queries, 3).indices, exact[:, :3]
    )


@pytest.mark.parametrize(("storage", "error"), [("float32", 1e-5), ("binary", 6 * 6 * 0.016)])
def test_places_without_texture_are_kept(storage: str, error: float) -> None:
    """All cells the same: their errors, being the same too, do not average out."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, 1, 256)).repeat(36, 1).reshape(3, DESCRIPTOR_SIZE)
    places = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    reference = map_of(places, storage)
    found, exact = squares_by_place(reference, places), exact_squares(places, places)
    np.testing.assert_allclose(found, exact, atol=error)
    np.testing.assert_allclose(np.diag(found), 0, atol=2e-3)
    assert np.isfinite(reference.descriptors()).all()


@pytest.mark.parametrize(("storage", "least"), [("float32", 1 - 1e-6), ("binary", 0.78)])
def test_descriptors_come_back_about_as_they_were(storage: str, least: float) -> None:
    descriptors = random_descriptors(300, seed=0)
    back = map_of(descriptors, storage).descriptors()
    # Of Gaussian values the signs alone have the cosine sqrt(2 / pi), 0.798.
    assert (back * descriptors).sum(axis=1).min() >= least
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(map_of(descriptors, storage).descriptors(250, 270), back[250:270])


def test_float32_keeps_descriptors_bit_for_bit() -> None:
    descriptors = random_descriptors(300, seed=0)
    np.testing.assert_array_equal(map_of(descriptors, "float32").descriptors(), descriptors)


@pytest.mark.parametrize("storage", STORAGES)
def test_distances_to_chosen_places_are_those_of_a_search(storage: str) -> None:
    reference = map_of(random_descriptors(300, seed=0), storage)
    query = random_descriptors(1, seed=1)
    result = reference.search(query, 300)
    chosen = np.sort(result.indices[0, ::7])
    by_place = np.empty(300, np.float32)
    by_place[result.indices[0]] = result.distances[0]
    np.testing.assert_array_equal(reference.distances(query, chosen), by_place[chosen])
    assert reference.distances(query, np.empty(0, np.int64)).shape == (0,)


def test_bits_are_the_same_in_every_storage() -> None:
    descriptors = random_descriptors(40, seed=0)
    maps = [map_of(descriptors, storage) for storage in STORAGES]
    first, *others = [reference.codes(np.arange(40)) for reference in maps]
    for other in others:
        np.testing.assert_array_equal(other.signs, first.signs)
        np.testing.assert_array_equal(other.norms, first.norms)
        np.testing.assert_array_equal(other.factors, first.factors)
    np.testing.assert_array_equal(maps[1].means(), maps[0].means())


def test_an_unknown_storage_is_refused_with_the_choices() -> None:
    with pytest.raises(MapError, match=r"float32.*binary"):
        ReferenceMap("floppynet", "0" * 64, "papyrus")


@pytest.mark.parametrize("storage", STORAGES)
def test_build_map_takes_the_storage_and_map_info_tells_it(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    frames = tmp_path / "frames"
    frames.mkdir()
    for index in range(3):
        image = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(frames / f"{index}.png"), image)
    path = tmp_path / "map.fvm"
    assert build_map.main([str(frames), "-o", str(path), "--storage", storage]) == 0
    assert map_info.main([str(path)]) == 0
    assert storage in capsys.readouterr().out
    assert ReferenceMap.load(path).storage == storage
