# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Real drives are recognised with nothing set: by night, from another lane, and not elsewhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_drives import Descriptors, street, unit

from floppynet_vpr.detection import Detection, DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.agreement import AGREEING, Agreement
from floppynet_vpr.detection.commonness import Commonness
from floppynet_vpr.detection.limits import BELIEVED, BELIEVED_OF_THIS_DRIVE
from floppynet_vpr.detection.order import is_in_order
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.grid import POOL5
from floppynet_vpr.mapping.shifts import shift_shares

SECOND = 1_000_000_000
SINGLE = DetectorOptions(sequence="none")
Drives = dict[str, Descriptors]


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


@pytest.fixture(scope="module")
def drives(data_dir: Path) -> Drives:
    """The descriptors of GardensPoint's three walks and of 400 images of a train's ride."""
    extractor = create_extractor()
    folders = {name: f"gardens_point/{name}" for name in ("day_right", "day_left", "night_right")}
    images = {name: sorted((data_dir / at).glob("*.jpg")) for name, at in folders.items()}
    images["train"] = sorted((data_dir / "nordland_64x32" / "summer").glob("*.png"))[:400]
    return {
        name: np.stack([extractor.describe(read(path)) for path in paths])
        for name, paths in images.items()
    }


def map_of(rows: Descriptors, storage: str = "binary") -> ReferenceMap:
    reference = ReferenceMap("floppynet", "ab" * 32, storage)
    reference.extend(rows, [f"place {i}" for i in range(len(rows))])
    return reference


def run(
    reference: ReferenceMap, queries: Descriptors, options: DetectorOptions | None = None
) -> list[Detection]:
    detector = LoopClosureDetector(reference, options)
    return [detector.detect(query) for query in queries]


def best(detections: list[Detection]) -> NDArray[np.int64]:
    return np.array([detection.candidates[0].index for detection in detections])


def detected(detections: list[Detection]) -> NDArray[np.bool_]:
    return np.array([detection.detected for detection in detections])


@pytest.mark.parametrize("again", ["night_right", "day_left"])
@pytest.mark.parametrize("storage", ["binary", "float32"])
def test_a_walk_is_recognised_by_night_and_from_the_other_side(
    drives: Drives, again: str, storage: str
) -> None:
    found = run(map_of(drives["day_right"], storage), drives[again])
    right = np.abs(best(found) - np.arange(200)) <= 3
    assert right.mean() >= 0.99
    assert right[detected(found)].all(), "whatever is detected is right"
    assert detected(found).mean() >= 0.95
    assert {detection.limits.belief for detection in found} == {BELIEVED}


@pytest.mark.parametrize("again", ["night_right", "day_left"])
def test_a_camera_carried_off_and_turned_round_is_found_again(drives: Drives, again: str) -> None:
    way = np.concatenate([np.arange(100, 160), np.arange(80, 20, -1)])
    found = run(map_of(drives["day_right"]), drives[again][way])
    right, accepted = np.abs(best(found) - way) <= 3, detected(found)
    assert accepted[20:60].all() and right[20:60].all()
    assert np.flatnonzero((right & accepted)[60:])[0] <= 16, "it is found again soon"
    assert right[accepted][:].mean() >= 0.95
    assert accepted[80:].mean() >= 0.95, "and followed backwards"
    assert (accepted & ~right)[60:].sum() <= 6, "it is believed a little longer where it was"


def test_single_images_are_detected_where_no_other_place_looks_like_them(drives: Drives) -> None:
    for again in ("night_right", "day_left"):
        found = run(map_of(drives["day_right"]), drives[again], SINGLE)
        right = np.abs(best(found) - np.arange(200)) <= 3
        accepted = detected(found)
        assert accepted.mean() >= 0.2
        assert right[accepted].mean() >= max(0.98, right.mean())


@pytest.mark.parametrize(("images", "places"), [("day_right", "train"), ("train", "day_right")])
def test_nothing_is_detected_on_a_drive_elsewhere(drives: Drives, images: str, places: str) -> None:
    assert not detected(run(map_of(drives[places]), drives[images])).any()
    assert detected(run(map_of(drives[places]), drives[images], SINGLE)).sum() <= 4


def test_a_way_walked_twice_is_closed_on_the_map_that_it_makes(drives: Drives) -> None:
    reference = ReferenceMap("floppynet", "ab" * 32)
    detector = LoopClosureDetector(reference)
    found = []
    for index, row in enumerate(np.concatenate([drives["day_right"], drives["day_left"]])):
        found.append(detector.detect(row, index * SECOND))
        reference.add(row, "", index * SECOND)
    closed = np.flatnonzero(detected(found))
    assert len(closed) >= 180
    assert all(abs(found[index].candidates[0].index - (index - 200)) <= 3 for index in closed)
    assert found[-1].limits.belief == BELIEVED_OF_THIS_DRIVE, "what is just new needs more belief"


@pytest.mark.parametrize(
    ("right", "down"), [(32, 0), (-32, 0), (64, 0), (0, 32), (0, -32), (-32, 32)]
)
def test_shifts_say_where_the_place_shows_what_the_image_shows(
    data_dir: Path, drives: Drives, right: int, down: int
) -> None:
    """Things moved right by a cell in the image are a cell farther left in the place."""
    extractor = create_extractor()
    detector = LoopClosureDetector(map_of(drives["day_right"]), SINGLE)
    paths = sorted((data_dir / "gardens_point" / "day_right").glob("*.jpg"))
    for index in range(0, 200, 25):
        picture = read(paths[index])
        height, width = picture.shape[:2]
        by = (right / 227 * width, down / 227 * height)
        move = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
        moved = cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REFLECT)
        descriptor = extractor.describe(np.asarray(moved, np.uint8))
        (candidate, *_) = detector.detect(descriptor).candidates
        assert candidate.index == index
        shares = shift_shares(candidate.shift, POOL5)
        assert shares == pytest.approx((-right / 227, -down / 227))


def test_from_the_left_things_are_farther_right_than_from_the_right(drives: Drives) -> None:
    found = run(map_of(drives["day_right"]), drives["day_left"])
    sideways = np.array([detection.candidates[0].shift[0] for detection in found])
    assert sideways.mean() < -0.5, "the left walk's camera is farther left"


@pytest.mark.parametrize("storage", ["float32", "binary"])
def test_rigid_distances_are_those_of_equation_6(drives: Drives, storage: str) -> None:
    places, queries = drives["day_right"], drives["night_right"][:40]
    reference = map_of(places, storage)
    for sequence in ("none", "filter"):
        options = DetectorOptions(matching="rigid", sequence=sequence)
        for query, detection in zip(queries, run(reference, queries, options), strict=True):
            ids = np.array(sorted(c.index for c in detection.candidates))
            told = {c.index: c.distance for c in detection.candidates}
            np.testing.assert_array_equal([told[i] for i in ids], reference.distances(query, ids))
            exact = np.linalg.norm(places[ids] - query, axis=1)
            error = 1e-5 if storage == "float32" else 0.05
            np.testing.assert_allclose([told[i] for i in ids], exact, atol=error)
            assert {c.shift for c in detection.candidates} == {(0, 0)}


@pytest.mark.parametrize("count", [1, 5, 19, 20, 60])
def test_distances_stay_within_0_and_2_and_shifts_within_those_tried(count: int) -> None:
    rows = street(count)
    rng = np.random.default_rng(1)
    noise = unit(rng.normal(size=(10, DESCRIPTOR_SIZE)))
    queries = np.concatenate([rows[:5], -rows[:5], noise, np.eye(5, DESCRIPTOR_SIZE, dtype="f4")])
    for matching in ("tolerant", "rigid"):
        for sequence in ("none", "filter", "line"):
            options = DetectorOptions(matching=matching, sequence=sequence, top_k=100)
            for detection in run(map_of(rows), queries, options):
                assert len(detection.candidates) == count
                for candidate in detection.candidates:
                    assert 0 <= candidate.distance <= 2
                    assert 0 <= candidate.score <= 1
                    assert abs(candidate.shift[0]) <= 2
                    assert abs(candidate.shift[1]) <= 1


def test_a_map_of_a_drive_is_in_order_and_a_heap_of_its_photos_is_not(drives: Drives) -> None:
    shuffled = np.random.default_rng(0).permutation(200)
    for name in ("day_right", "night_right", "train"):
        heap = drives[name][shuffled]
        assert is_in_order(map_of(drives[name]))
        assert not is_in_order(map_of(heap))
        assert LoopClosureDetector(map_of(drives[name])).in_force.sequence == "filter"
        assert LoopClosureDetector(map_of(heap)).in_force.sequence == "none"


def test_one_session_of_photos_is_enough_to_match_single_images(drives: Drives) -> None:
    both = map_of(drives["day_right"])
    both.begin_session("photos")
    both.extend(drives["train"][np.random.default_rng(0).permutation(100)], [""] * 100)
    assert not is_in_order(both)
    both = map_of(drives["day_right"])
    both.begin_session("drive")
    both.extend(drives["train"][:100], [""] * 100)
    assert is_in_order(both)


def test_a_map_still_to_be_made_will_be_of_a_drive_and_a_few_photos_are_none() -> None:
    assert is_in_order(map_of(street(0)))
    assert is_in_order(map_of(street(5))) is None


def test_a_map_of_few_photos_is_followed_once_a_drive_has_added_to_it(drives: Drives) -> None:
    reference = map_of(drives["train"][:19:2])
    detector = LoopClosureDetector(reference)
    assert detector.in_force.sequence == "none"
    reference.begin_session("drive")
    found = []
    for index, row in enumerate(np.concatenate([drives["day_right"], drives["day_left"]])):
        found.append(detector.detect(row, index * SECOND))
        assert detector.in_force.sequence == ("none" if index < 20 else "filter")
        reference.add(row, "", index * SECOND)
    closed = np.flatnonzero(detected(found))
    assert len(closed) >= 180
    assert all(abs(found[i].candidates[0].index - 10 - (i - 200)) <= 3 for i in closed)


def test_a_heap_of_photos_stays_one_when_a_drive_adds_to_it(drives: Drives) -> None:
    reference = map_of(drives["day_right"][np.random.default_rng(0).permutation(200)])
    detector = LoopClosureDetector(reference)
    reference.begin_session("drive")
    for index, row in enumerate(drives["train"][:30]):
        detector.detect(row, index * SECOND)
        reference.add(row, "", index * SECOND)
    assert detector.in_force.sequence == "none"


@pytest.mark.parametrize("again", ["night_right", "day_left"])
def test_cells_of_the_same_places_agree_by_night_and_from_the_other_side(
    drives: Drives, again: str
) -> None:
    found = run(map_of(drives["day_right"]), drives[again])
    verified = np.array([detection.candidates[0].verified for detection in found])
    assert verified.mean() >= 0.99
    assert np.mean([detection.candidates[0].agreeing for detection in found]) > AGREEING + 1
    assert not any(c.verified for detection in found for c in detection.candidates[1:])


def test_a_drive_elsewhere_that_shares_part_of_every_view_is_believed_but_not_verified(
    drives: Drives,
) -> None:
    """Houses of the same makers: six of the 36 cells are those of the map, in order."""
    town, elsewhere = drives["day_right"], drives["train"][:200].copy()
    elsewhere.reshape(-1, 6, 6, 256)[:, 2:4, :3] = town.reshape(-1, 6, 6, 256)[:, 2:4, :3]
    queries = unit(elsewhere)
    believed = run(map_of(town), queries, DetectorOptions(verification="none"))
    assert detected(believed).mean() > 0.3
    assert {detection.candidates[0].agreeing for detection in believed} == {-1.0}
    found = run(map_of(town), queries)
    assert detected(found).sum() < 0.1 * detected(believed).sum()
    for belief, detection in zip(believed, found, strict=True):
        assert belief.measure == detection.measure
        if belief.detected and not detection.detected:
            assert "cells agree on average, 14.5 are needed" in detection.reason
            assert not detection.candidates[0].verified


def test_single_images_and_rigid_matching_are_not_verified_by_cells(drives: Drives) -> None:
    for options in (SINGLE, DetectorOptions(matching="rigid")):
        for detection in run(map_of(drives["day_right"]), drives["day_left"][:30], options):
            assert detection.candidates[0].agreeing == -1.0


def test_agreement_is_that_of_the_last_16_images_and_standing_still_is_one() -> None:
    agreement = Agreement()
    assert agreement.take(10, True) == 10
    assert agreement.take(20, True) == 15
    assert [agreement.take(30, False), agreement.take(14, False)] == [20, 12]
    assert agreement.take(None, True) == -1
    means = [agreement.take(count, True) for count in range(16)]
    assert means[-2:] == [(14 + sum(range(15))) / 16, sum(range(16)) / 16]


def test_a_heap_of_photos_answers_as_well_as_it_did_in_order(drives: Drives) -> None:
    shuffled = np.random.default_rng(0).permutation(200)
    found = run(map_of(drives["day_right"][shuffled]), drives["day_left"])
    right = np.abs(shuffled[best(found)] - np.arange(200)) <= 3
    accepted = detected(found)
    assert right[accepted].mean() >= 0.95
    assert right.mean() >= 0.8


def test_a_place_that_always_stands_out_is_discounted_and_no_other() -> None:
    commonness = Commonness()
    rng = np.random.default_rng(0)
    clear = np.full(50, 4, np.float32)
    np.testing.assert_array_equal(commonness.less(clear), clear)
    discounts = []
    for _ in range(200):
        standing = rng.normal(size=50).astype(np.float32)
        standing[7] += 4
        commonness.watch(standing)
        discounts.append(clear - commonness.less(clear))
    assert discounts[0][7] < 0.5, "one image is not always"
    assert discounts[-1][7] == pytest.approx(2 * 100 / 110, abs=0.2)
    assert np.abs(np.delete(discounts[-1], 7)).max() < 0.25
    assert len(commonness.less(np.zeros(80, np.float32))) == 80, "the map may have grown"
    assert len(commonness.less(np.zeros(30, np.float32))) == 30


def test_a_place_that_looks_a_little_like_everything_is_not_believed(drives: Drives) -> None:
    """A dark road: one place of the walk shows what all images of the train have in common."""
    rows = drives["day_right"].copy()
    rows[40] = unit(drives["train"][::5].mean(0))
    found = run(map_of(rows), drives["train"][:200])
    assert np.mean(best(found) == 40) > 0.2, "nothing stands out more"
    assert not detected(found).any()
