# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The detector finds what was seen before, lets nothing else pass, and says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from synthetic_drives import WAYS, Descriptors, street, unit

from floppynet_vpr.detection import Detection, DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.background import Background, Needs, robust_spread
from floppynet_vpr.detection.recent import RecentPlaces
from floppynet_vpr.mapping import Calibration, Place, ReferenceMap, Session
from floppynet_vpr.mapping.descriptor_index import COMPARED

SECOND = 1_000_000_000
RIGID = DetectorOptions(matching="rigid", sequence="none")


def seen_again(rows: Descriptors, change: float, seed: int = 1) -> Descriptors:
    """The same places, changed this much in the 24 ways and a little in all others."""
    rng = np.random.default_rng(seed)
    changes = unit(rng.normal(size=(len(rows), 24)) @ WAYS)
    return unit(rows + change * changes + 0.003 * rng.normal(size=rows.shape))


def map_of(rows: Descriptors, storage: str = "float32") -> ReferenceMap:
    reference = ReferenceMap("floppynet", "ab" * 32, storage)
    stamps_ns = [i * SECOND // 10 for i in range(len(rows))]
    reference.extend(rows, [f"place {i}" for i in range(len(rows))], stamps_ns)
    return reference


def run(detector: LoopClosureDetector, queries: Descriptors) -> list[Detection]:
    return [detector.detect(query) for query in queries]


def best(detections: list[Detection]) -> list[int]:
    return [detection.candidates[0].index for detection in detections]


def test_an_empty_map_gives_no_candidate_and_says_so() -> None:
    for sequence in ("none", "filter", "line"):
        detector = LoopClosureDetector(map_of(street(0)), DetectorOptions(sequence=sequence))
        for query in street(3):
            detection = detector.detect(query)
            assert not detection.detected
            assert detection.candidates == ()
            assert "no place" in detection.reason


def test_single_images_are_answered_by_the_nearest_places_and_their_distances() -> None:
    reference = map_of(street(50), "binary")
    detector = LoopClosureDetector(reference, replace(RIGID, threshold=0.5, top_k=3))
    for query in seen_again(street(50), 0.6)[::7]:
        found = reference.search(query, 3)
        detection = detector.detect(query)
        assert [c.index for c in detection.candidates] == found.indices[0].tolist()
        assert [c.distance for c in detection.candidates] == found.distances[0].tolist()
        assert detection.detected == (found.distances[0, 0] <= 0.5)
        assert detection.detected or "above 0.500" in detection.reason


@pytest.mark.parametrize("sequence", ["filter", "line"])
@pytest.mark.parametrize("matching", ["tolerant", "rigid"])
@pytest.mark.parametrize("places", [300, 700])
def test_a_sequence_is_recognised_where_single_images_are_not(
    sequence: str, matching: str, places: int
) -> None:
    rows = street(places)
    queries = seen_again(rows[100:160], 1.6)
    reference = map_of(rows, "float32" if places <= COMPARED else "binary")
    options = DetectorOptions(matching=matching, sequence="none")
    single = best(run(LoopClosureDetector(reference, options), queries))
    detector = LoopClosureDetector(reference, replace(options, sequence=sequence))
    followed = run(detector, queries)
    truth = np.arange(100, 160)
    assert np.mean(np.abs(np.array(single) - truth) <= 2) < 0.9
    assert np.all(np.abs(np.array(best(followed)) - truth)[15:] <= 2)
    assert np.mean([detection.detected for detection in followed[30:]]) >= 0.9
    assert all(0 <= c.score <= 1 for detection in followed for c in detection.candidates)


@pytest.mark.parametrize("sequence", ["none", "filter", "line"])
@pytest.mark.parametrize("options", [RIGID, replace(RIGID, subtract_mean=True)])
def test_hardly_anything_is_detected_in_a_street_that_is_not_in_the_map(
    sequence: str, options: DetectorOptions
) -> None:
    options = replace(options, sequence=sequence)
    detector = LoopClosureDetector(map_of(street(200)), options)
    detections = run(detector, street(100, seed=9))
    assert sum(detection.detected for detection in detections) <= 8
    assert all(detection.detected != bool(detection.reason) for detection in detections)


def test_what_all_images_of_a_drive_share_can_be_subtracted() -> None:
    rows = street(120)
    queries = unit(seen_again(rows, 1.0) + 1.5 * unit(WAYS[0] + WAYS[1]))
    plain = run(LoopClosureDetector(map_of(rows), RIGID), queries)
    options = replace(RIGID, subtract_mean=True, top_k=120)
    detector = LoopClosureDetector(map_of(rows), options)
    without = run(detector, queries)
    truth = np.arange(120)
    right, right_without = (np.mean(np.array(best(d)) == truth) for d in (plain, without))
    assert right + 0.1 < right_without
    distances = {c.index: c.distance for c in without[50].candidates}
    exact = np.linalg.norm(rows - queries[50], axis=1)
    assert all(distances[i] == pytest.approx(exact[i], abs=1e-5) for i in range(120))


def test_standing_still_does_not_move_the_belief_on() -> None:
    rows = street(200)
    drive = np.concatenate([rows[50:90], np.repeat(rows[90:91], 100, axis=0), rows[90:110]])
    detector = LoopClosureDetector(map_of(rows), DetectorOptions(sequence="filter"))
    found = best(run(detector, seen_again(drive, 0.1)))
    assert set(found[45:140]) == {90}
    assert found[-1] == 109


def test_a_threshold_sets_itself_between_places_again_and_places_alike() -> None:
    rows = street(200)
    detector = LoopClosureDetector(map_of(rows), RIGID)
    threshold = detector.limits.distance
    again = np.linalg.norm(rows - seen_again(rows, 0.6), axis=1)
    others = street(200, seed=9)
    strangers = np.sqrt(np.maximum(2 - 2 * others @ rows.T, 0)).min(1)
    assert again.max() < threshold < np.quantile(strangers, 0.05)
    assert detector.limits.origin == "automatic"


def test_a_threshold_is_the_same_whether_the_map_keeps_bits_or_all() -> None:
    """Of streets all of whose images are alike, as those of one town are."""
    rows = unit(street(200) + 1.5 * unit(WAYS[2]))
    bits, everything = (Background(map_of(rows, storage)) for storage in ("binary", "float32"))
    spread = robust_spread(everything.distances(0, np.arange(1, 200)))[1]
    assert bits.threshold == pytest.approx(everything.threshold, abs=0.3 * spread)
    assert bits.usual == pytest.approx(everything.usual, abs=0.1 * spread)
    assert bits.step == pytest.approx(everything.step, abs=0.1 * spread)


@pytest.mark.parametrize("sequence", ["none", "filter", "line"])
@pytest.mark.parametrize("matching", ["tolerant", "rigid"])
@pytest.mark.parametrize("storage", ["float32", "binary"])
def test_a_map_too_small_for_a_limit_says_so_and_detects_nothing_in_any_storage(
    sequence: str, matching: str, storage: str
) -> None:
    rows = street(19)
    reference = ReferenceMap("floppynet", "ab" * 32, storage)
    for row in rows:
        reference.add(row, "")
    detector = LoopClosureDetector(reference, DetectorOptions(matching=matching, sequence=sequence))
    for detection in run(detector, rows):
        assert not detection.detected
        assert (detection.limits.distance, detection.limits.origin) == (-1.0, "unknown")
        assert "20 places" in detection.reason
    detector.options = replace(RIGID, threshold=0.25)
    assert all(detection.detected for detection in run(detector, rows))


@pytest.mark.parametrize("options", [DetectorOptions(sequence="filter"), RIGID])
def test_a_growing_map_has_a_limit_from_20_places_on(options: DetectorOptions) -> None:
    rows = street(24)
    reference = map_of(rows[:1])
    detector = LoopClosureDetector(reference, options)
    for row in rows[1:19]:
        reference.add(row, "")
        assert run(detector, row[None])[0].limits.origin == "unknown"
    for row in rows[19:]:
        reference.add(row, "")
        detections = run(detector, np.repeat(row[None], 30, axis=0))
    assert detections[-1].limits.origin == "automatic"
    assert detections[-1].limits.distance > 0
    assert (detections[-1].limits.belief > 0) == (options != RIGID)


def test_places_all_alike_give_no_limit() -> None:
    detector = LoopClosureDetector(map_of(np.repeat(street(1), 30, axis=0)), RIGID)
    (detection,) = run(detector, street(1))
    assert not detection.detected
    assert detection.limits.origin == "unknown"


def test_the_threshold_follows_the_light() -> None:
    rows = street(200)
    darkness = 1.5 * unit(WAYS[0] + WAYS[1])
    by_day, by_night = seen_again(rows, 0.3), unit(seen_again(rows, 0.3) + darkness)
    detector = LoopClosureDetector(map_of(rows), RIGID)
    day = run(detector, by_day)[-1].limits.distance
    night = run(detector, by_night)[-1].limits.distance
    usual = np.median(np.sqrt(np.maximum(2 - 2 * by_night @ rows.T, 0)))
    assert day == pytest.approx(Background(map_of(rows)).threshold, abs=0.02)
    assert night - day == pytest.approx(usual - Background(map_of(rows)).usual, abs=0.02)


def test_limits_are_the_users_else_those_calibrated_else_they_set_themselves() -> None:
    reference = map_of(street(40))
    detector = LoopClosureDetector(reference, RIGID)
    query = seen_again(street(40), 0.8)[20]
    distance = detector.detect(query).candidates[0].distance
    reference.calibrations["rigid none"] = Calibration(
        "rigid none", (distance - 0.1, distance + 0.1), (1.0, 0.5), distance + 0.01, 0.9, 40, 30, 28
    )
    calibrated = detector.detect(query)
    assert calibrated.limits.origin == "calibrated"
    assert calibrated.detected
    assert calibrated.candidates[0].score == pytest.approx(0.75)
    assert calibrated.measure == distance
    for options, detected, reason in (
        (replace(RIGID, threshold=distance - 0.01), False, "distance"),
        (replace(RIGID, threshold=distance + 0.01), True, ""),
        (replace(RIGID, confidence=0.7), True, ""),
        (replace(RIGID, confidence=0.8), False, "score"),
        (replace(RIGID, threshold=distance - 0.01, confidence=0.7), False, "distance"),
    ):
        detector.options = options
        detection = detector.detect(query)
        assert (detection.detected, detection.limits.origin) == (detected, "given")
        assert reason in detection.reason


def test_a_calibration_counts_only_for_the_mode_it_was_made_in() -> None:
    reference = map_of(street(40))
    reference.calibrations["tolerant filter"] = Calibration(
        "tolerant filter", (0.0, 1.0), (0.0, 0.5), 0.99, 0.9, 40, 30, 28
    )
    for options in (RIGID, replace(RIGID, sequence="filter"), replace(RIGID, matching="tolerant")):
        assert LoopClosureDetector(reference, options).limits.origin == "automatic"
    detector = LoopClosureDetector(reference)
    assert detector.in_force.sequence == "filter", "a map of a drive is matched along it"
    assert detector.limits.belief == 0.99
    detections = run(detector, street(40))
    assert max(c.score for d in detections for c in d.candidates) <= 0.5


@pytest.mark.parametrize("options", [RIGID, DetectorOptions(), DetectorOptions(sequence="none")])
def test_places_just_added_are_not_matched(options: DetectorOptions) -> None:
    reference = ReferenceMap("floppynet", "ab" * 32)
    options = replace(options, threshold=2.0, top_k=60, exclude_images=10, exclude_seconds=2.0)
    detector = LoopClosureDetector(reference, options)
    for index, row in enumerate(street(60)):
        detection = detector.detect(row, index * SECOND // 10)
        ids = [candidate.index for candidate in detection.candidates]
        assert max(ids, default=-1) == (index - 20 if index >= 20 else -1)
        reference.add(row, "", index * SECOND // 10)


def test_recent_is_what_was_added_few_images_or_seconds_ago() -> None:
    session = Session(1)
    places = [Place(i, "", stamp * SECOND, session) for i, stamp in enumerate((0, 1, 50, 51, 0))]
    recent = RecentPlaces(2)
    assert recent.eligible(places[:2], 0, 3, 5.0) == 2
    assert recent.eligible(places[:3], 50 * SECOND, 3, 5.0) == 2
    assert recent.eligible(places[:4], 51 * SECOND, 3, 5.0) == 2
    assert recent.eligible(places[:4], 56 * SECOND, 3, 5.0) == 2
    assert recent.eligible(places[:4], 56 * SECOND, 3, 5.0) == 3
    assert recent.eligible(places[:4], 56 * SECOND, 3, 5.0) == 4
    # A bag that starts anew: the stamps jump back, and what was seen in the first round counts.
    assert recent.eligible(places, 1 * SECOND, 3, 5.0) == 4


def test_a_lap_is_closed_while_the_map_grows() -> None:
    lap = street(80, seed=1)
    reference = ReferenceMap("floppynet", "ab" * 32)
    detector = LoopClosureDetector(reference, replace(RIGID, sequence="filter"))
    closures = []
    for index, row in enumerate(np.concatenate([lap, seen_again(lap, 1.0)])):
        detection = detector.detect(row, index * SECOND)
        if detection.detected:
            closures.append((index, detection.candidates[0].index))
        reference.add(row, "", index * SECOND)
    assert len(closures) > 50
    assert all(abs(index - place - 80) <= 2 for index, place in closures)


@pytest.mark.parametrize("sequence", ["none", "filter", "line"])
def test_a_bag_in_a_loop_is_followed_though_its_stamps_jump_back(sequence: str) -> None:
    lap = street(40, seed=2)
    reference = ReferenceMap("floppynet", "ab" * 32)
    options = DetectorOptions(sequence=sequence, exclude_images=3, exclude_seconds=5.0)
    detector = LoopClosureDetector(reference, options)
    last = []
    for row, stamp in [(row, index * SECOND) for _ in range(3) for index, row in enumerate(lap)]:
        detection = detector.detect(row, stamp)
        last.append(detection.candidates[0].index % 40 if detection.candidates else None)
        reference.add(row, "", stamp)
    right = [best == index for index, best in enumerate(last[-40:])]
    assert sum(right) >= 35


class WatchedMap(ReferenceMap):
    """A map that counts how often it is asked."""

    asked = 0

    def distances(self, *args: Any) -> Any:
        self.asked += 1
        return super().distances(*args)

    def descriptors(self, *args: Any) -> Any:
        self.asked += 1
        return super().descriptors(*args)


@pytest.mark.parametrize("sequence", ["none", "filter"])
@pytest.mark.parametrize(
    ("matching", "subtract_mean"), [("tolerant", False), ("rigid", False), ("rigid", True)]
)
def test_no_image_waits_while_what_is_usual_in_a_growing_map_is_found_out(
    sequence: str, matching: str, subtract_mean: bool
) -> None:
    reference = WatchedMap("floppynet", "ab" * 32)
    options = DetectorOptions(sequence=sequence, subtract_mean=subtract_mean, matching=matching)
    detector = LoopClosureDetector(reference, options)
    for index, row in enumerate(street(150)):
        reference.asked = 0
        detector.detect(row, index * SECOND)
        assert reference.asked <= 12
        reference.add(row, "", index * SECOND)
    assert detector.limits.distance > 0


def test_what_is_found_out_in_pieces_is_what_is_found_out_at_once() -> None:
    reference = WatchedMap("floppynet", "ab" * 32, "float32")
    rows = street(120)
    for row in rows[:50]:
        reference.add(row, "")
    former = Background(reference)
    for row in rows[50:]:
        reference.add(row, "")
    new, fresh = Background(reference), Background(reference)
    for _ in new.prepare(Needs(mean=True, step=True, threshold=True)):
        pass
    reference.asked = 0
    prepared = new.threshold, new.step, new.usual
    sizes = new.sizes(np.arange(120))
    assert reference.asked == 0
    assert prepared == (fresh.threshold, fresh.step, fresh.usual)
    assert np.array_equal(new.mean, fresh.mean)
    assert np.array_equal(sizes, fresh.sizes(np.arange(120)))
    assert not former.fits
    assert new.fits
