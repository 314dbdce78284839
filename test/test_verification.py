# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Local features are kept as they are found, and geometry tells places apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.commands import build_map, map_info
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.detection import (
    Candidate,
    Detection,
    DetectorOptions,
    Limits,
    LoopClosureDetector,
    VerificationOptions,
    Verifier,
)
from floppynet_vpr.detection.verification import count_inliers, match_features
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import DESCRIPTOR_SIZE, create_extractor
from floppynet_vpr.extraction.local_features import (
    LONGEST_SIDE,
    LocalFeatures,
    extract_features,
    pack_features,
    row_bytes,
    slots_of,
    unpack_features,
)
from floppynet_vpr.mapping import ReferenceMap

Picture = NDArray[np.uint8]
LIMITS = Limits(2.0, 0.0, 0.0, "given")


def texture(seed: int, height: int = 360, width: int = 480) -> Picture:
    """A picture full of corners, RGB."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 12, width // 12, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)


def moved(picture: Picture, by: int) -> Picture:
    """The picture seen from aside: its lower half, which is nearer, moves twice as far."""
    half = len(picture) // 2
    return np.concatenate([np.roll(picture[:half], by, 1), np.roll(picture[half:], 2 * by, 1)])


def map_of(*pictures: Picture, features: int = 200) -> ReferenceMap:
    reference = ReferenceMap("floppynet", "ab" * 32, features=features)
    rng = np.random.default_rng(0)
    for picture in pictures:
        row = rng.normal(size=DESCRIPTOR_SIZE)
        descriptor = (row / np.linalg.norm(row)).astype(np.float32)
        local = extract_features(picture, features) if features else None
        reference.add(descriptor, "", features=local)
    return reference


def detection_of(reference: ReferenceMap, *places: int) -> Detection:
    candidates = tuple(Candidate(reference.places[place], place, 0.5, 0.9) for place in places)
    return Detection(LIMITS, candidates, 0.5, "")


features = st.integers(0, 40).flatmap(
    lambda count: st.builds(
        lambda seed: LocalFeatures(
            np.random.default_rng(seed).integers(0, 16 * LONGEST_SIDE, (count, 2)) / np.float32(16),
            np.random.default_rng(seed).integers(0, 256, (count, 32)).astype(np.uint8),
        ),
        st.integers(0, 2**32 - 1),
    )
)


@settings(deadline=None)
@given(features, st.integers(1, 60))
def test_a_row_gives_back_the_strongest_features_that_it_has_room_for(
    local: LocalFeatures, slots: int
) -> None:
    row = pack_features(local, slots)
    assert row.shape == (row_bytes(slots),) == (2 + 36 * slots,)
    assert slots_of(len(row)) == slots
    again = unpack_features(row)
    np.testing.assert_array_equal(again.positions, local.positions[:slots])
    np.testing.assert_array_equal(again.bits, local.bits[:slots])


@pytest.mark.parametrize("size", [-1, 0, 1, 2, 37, 39, 2 + 36 * 5001])
def test_rows_of_other_sizes_hold_no_features(size: int) -> None:
    with pytest.raises(VprError):
        slots_of(size)


def test_pictures_of_any_kind_and_size_give_features_within_bounds() -> None:
    large = texture(0, 1200, 2000)
    for picture in (large, large[:, :, 0], texture(0, 64, 32), texture(0)[:1], texture(0)[:, :1]):
        found = extract_features(picture, 150)
        assert len(found) <= 150
        assert found.positions.shape == (len(found), 2)
        assert found.bits.shape == (len(found), 32)
        assert (found.positions >= 0).all()
        assert (found.positions <= LONGEST_SIDE).all()
    assert len(extract_features(large, 150)) == 150
    assert not len(extract_features(np.full((480, 640, 3), 90, np.uint8), 150))


def test_pairs_are_mutual_and_clearly_better_than_the_second_best() -> None:
    bits = np.random.default_rng(0).integers(0, 256, (50, 32)).astype(np.uint8)
    where = np.zeros((50, 2), np.float32)
    query = LocalFeatures(where, bits)
    place = LocalFeatures(where[:20], bits[10:30])
    pairs = match_features(query, place)
    assert pairs.tolist() == [[10 + i, i] for i in range(20)]
    twice = LocalFeatures(np.concatenate([where, where]), np.concatenate([bits, bits]))
    assert not len(match_features(twice, place)), "two that look alike are no match"
    assert not len(match_features(LocalFeatures(where[:1], bits[:1]), place))
    assert not len(match_features(query, LocalFeatures(where[:0], bits[:0])))


def test_the_same_place_from_aside_agrees_and_another_does_not() -> None:
    place, other = extract_features(texture(1), 300), extract_features(texture(2), 300)
    query = extract_features(moved(texture(1), 9), 800)
    inliers = count_inliers(query, place)
    assert inliers >= 40
    assert count_inliers(query, other) < 12
    assert {count_inliers(query, place) for _ in range(5)} == {inliers}


def test_candidates_are_judged_and_a_detection_that_fails_is_none() -> None:
    reference = map_of(texture(1), texture(2))
    verifier = Verifier(VerificationOptions(budget_ms=1e6))
    query = moved(texture(1), 9)
    right = verifier.verify(query, detection_of(reference, 0, 1), reference)
    assert right.detected
    assert [candidate.verified for candidate in right.candidates] == [True, False]
    assert right.candidates[0].inliers >= 12 > right.candidates[1].inliers >= 0
    wrong = verifier.verify(query, detection_of(reference, 1, 0), reference)
    assert not wrong.detected
    assert "12 are needed" in wrong.reason
    assert [candidate.verified for candidate in wrong.candidates] == [False, True]
    verifier.options = replace(verifier.options, required=False)
    assert verifier.verify(query, detection_of(reference, 1, 0), reference).detected
    before = replace(detection_of(reference, 0), reason="distance is too large")
    assert verifier.verify(query, before, reference).reason == "distance is too large"


def test_where_the_map_has_no_features_nothing_is_checked() -> None:
    for reference in (
        map_of(texture(1), features=0),
        map_of(np.full((48, 64, 3), 9, np.uint8)),
    ):
        detection = detection_of(reference, 0)
        assert Verifier().verify(texture(1), detection, reference) == detection
        assert detection.candidates[0].inliers == -1
    empty = Detection(LIMITS, (), 0.0, "the map has no place to match")
    assert Verifier().verify(texture(1), empty, reference) == empty


class Clock:
    """Time that passes with every look at it, by `tick` seconds."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def test_candidates_beyond_the_time_are_not_checked_and_the_verdict_stays() -> None:
    reference = map_of(*(texture(seed) for seed in range(5)))
    clock = Clock(0.002)
    verifier = Verifier(VerificationOptions(budget_ms=25), clock)
    detection = detection_of(reference, 0, 1, 2, 3, 4)
    for _ in range(3):
        start = clock.now
        found = verifier.verify(texture(0), detection, reference)
        inliers = [candidate.inliers for candidate in found.candidates]
        checked = sum(count >= 0 for count in inliers)
        assert 0 < checked < 5
        assert inliers[checked:] == [-1] * (5 - checked)
        assert clock.now - start <= 0.025 + 2 * clock.tick
    clock.tick = 0.1
    assert verifier.verify(texture(0), detection, reference).detected
    verdicts = [verifier.verify(texture(1), detection, reference) for _ in range(20)]
    assert verdicts == [detection] * 20, "too slow a machine checks nothing and delays nothing"
    clock.tick = 0.0001
    later = (verifier.verify(texture(0), detection, reference) for _ in range(300))
    assert any(found.candidates[0].verified for found in later), "it tries again later"


def test_features_are_kept_in_the_file_and_a_map_without_is_as_small_as_before(
    tmp_path: Path,
) -> None:
    pictures = [texture(seed) for seed in range(4)]
    with_them, without = map_of(*pictures), map_of(*pictures, features=0)
    with_them.save(tmp_path / "with.fvm")
    without.save(tmp_path / "without.fvm")
    sizes = [(tmp_path / f"{name}.fvm").stat().st_size for name in ("with", "without")]
    assert 0 <= sizes[0] - sizes[1] - 4 * row_bytes(200) <= 64
    assert ReferenceMap.load(tmp_path / "without.fvm").features_of(2) is None
    loaded = ReferenceMap.load(tmp_path / "with.fvm")
    assert loaded.features == 200
    loaded.add(loaded.descriptors(0, 1)[0], "new", features=extract_features(pictures[3], 200))
    chosen = loaded.select([1, 3, 4])
    for place, picture in enumerate((pictures[1], pictures[3], pictures[3])):
        kept = chosen.features_of(place)
        assert kept is not None
        np.testing.assert_array_equal(kept.bits, extract_features(picture, 200).bits)
    np.testing.assert_array_equal(chosen.descriptors(), loaded.descriptors()[[1, 3, 4]])


def test_on_real_images_verified_detections_are_places_seen_again(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.fvm"
    source = data_dir / "gardens_point"
    arguments = [str(source / "day_right"), "--every", "4", "-o", str(path), "--features", "300"]
    assert build_map.main(arguments) == 0
    assert map_info.main([str(path)]) == 0
    assert "up to 300 a place, 10,802 bytes" in capsys.readouterr().out
    reference = ReferenceMap.load(path)
    options = DetectorOptions(matching="rigid", sequence="none", threshold=2.0)
    detector = LoopClosureDetector(reference, options)
    verifier = Verifier(VerificationOptions(budget_ms=1e6))
    extractor = create_extractor()
    accepted, right = [], []
    for index, frame in enumerate(open_source(source / "day_left", every=4)):
        found = detector.detect(extractor.describe(frame.rgb))
        checked = verifier.verify(frame.rgb, found, reference)
        right.append(abs(checked.candidates[0].index - index) <= 3)
        accepted.append(checked.detected)
    assert np.mean(right) < 0.9, "without verification many are wrong"
    assert sum(accepted) >= 15
    assert np.mean(np.array(right)[accepted]) >= 0.95
