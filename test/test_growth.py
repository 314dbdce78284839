# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A map that is used while it is made: what becomes a place, a look, or nothing, and what goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_drives import Descriptors, street, unit

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.bayes_filter import BayesFilter
from floppynet_vpr.detection.growth import Grower, GrowthOptions, kept_places
from floppynet_vpr.detection.line_search import LineSearch
from floppynet_vpr.detection.order import is_in_order
from floppynet_vpr.detection.sequences import SequenceModel
from floppynet_vpr.mapping import ReferenceMap

PLACES = 80


class Drive:
    """A map that grows as the node's does in mode both."""

    def __init__(self, options: GrowthOptions | None = None) -> None:
        self.options = options or GrowthOptions()
        self.map = ReferenceMap("network", "weights")
        self.grower = Grower(self.options)
        self.detector = LoopClosureDetector(self.map, DetectorOptions())
        self.images = 0

    def go(self, descriptors: Descriptors) -> int:
        """Drive once more; returns how many places were recognised rightly."""
        right = 0
        for at, descriptor in enumerate(descriptors):
            stamp_ns = self.images * 1_000_000_000
            found = self.detector.detect(descriptor, stamp_ns)
            if found.detected:
                right += abs(int(found.candidates[0].place.name) - at) <= 4
            growth = self.grower.decide(self.detector, found, descriptor)
            if growth.new:
                self.map.add(descriptor, str(at), stamp_ns, look_of=growth.look_of)
            kept = kept_places(self.map, self.options)
            if kept is not None:
                self.map = self.map.select(kept.tolist())
                self.detector = self.detector.reduced(self.map, kept)
            self.images += 1
        return right


def by_day() -> Descriptors:
    return street(PLACES, seed=4)  # which is nowhere like itself


def seen_again(descriptors: Descriptors, seed: int, noise: float) -> Descriptors:
    """The same drive, each image off its place by noise of this norm."""
    rng = np.random.default_rng(seed)
    return unit(descriptors + noise * unit(rng.normal(size=descriptors.shape)))


def test_more_laps_in_the_same_light_add_hardly_anything() -> None:
    drive = Drive()
    drive.go(by_day())
    first = len(drive.map)
    right = [drive.go(seen_again(by_day(), lap, 0.3)) for lap in range(4)]
    assert first >= 0.9 * PLACES
    assert len(drive.map) <= 1.3 * PLACES
    assert min(right) >= 0.75 * PLACES


def test_without_looks_every_lap_adds_its_places_anew() -> None:
    drive = Drive(GrowthOptions(max_looks=0))
    for lap in range(2):
        drive.go(seen_again(by_day(), lap, 0.3))
    assert len(drive.map) == 2 * PLACES


def test_another_light_is_kept_as_looks_of_the_places_and_then_known() -> None:
    drive = Drive()
    drive.go(by_day())
    by_night = seen_again(by_day(), 50, 1.2)
    drive.go(by_night)
    looks, firsts = drive.map.looks(len(drive.map))
    assert len(looks) >= 0.6 * PLACES
    for look, first in zip(looks.tolist(), firsts.tolist(), strict=True):
        here, there = drive.map.places[look], drive.map.places[first]
        assert here.look_of == there.id
        assert abs(int(here.name) - int(there.name)) <= 4
    before = len(drive.map)
    assert drive.go(seen_again(by_night, 51, 0.3)) >= 0.75 * PLACES
    assert len(drive.map) - before <= 0.25 * PLACES


def test_no_place_has_more_looks_than_it_may() -> None:
    drive = Drive(GrowthOptions(max_looks=2))
    for lap in range(3):
        drive.go(seen_again(by_day(), 100 + lap, 1.2))
    _, firsts = drive.map.looks(len(drive.map))
    assert len(firsts)
    assert max(np.bincount(firsts)) == 1


def test_a_look_answers_for_the_place_that_it_is_a_look_of() -> None:
    drive = Drive()
    drive.go(by_day())
    by_night = seen_again(by_day(), 50, 1.2)
    drive.go(by_night)
    detector = LoopClosureDetector(drive.map, DetectorOptions())
    found = [detector.detect(image) for image in seen_again(by_night, 51, 0.3)]
    best = [one.candidates[0].place for one in found if one.detected]
    assert sum(place.look_of is not None for place in best) >= 0.6 * PLACES
    for one in found:
        places = [candidate.place for candidate in one.candidates]
        firsts = {place.look_of or place.id for place in places}
        assert len(firsts) == len(places), "a place is a candidate once, with its nearest look"


def test_what_was_left_out_is_a_gap_that_nobody_is_followed_across() -> None:
    reference = ReferenceMap("network", "weights")
    first, second, *_ = street(4)
    before = reference.add(first, "0")
    reference.leave_out()
    reference.leave_out()
    after = reference.add(second, "1")
    assert not after.follows(before)
    assert after.session == before.session
    assert list(reference.breaks) == [1]
    assert list(reference.borders) == []


def test_forgotten_places_leave_a_gap_and_all_others_their_order() -> None:
    reference = ReferenceMap("network", "weights")
    reference.extend(street(10), [str(place) for place in range(10)])
    ids = [place.id for place in reference.places]
    reduced = reference.select([0, 1, 2, 6, 7, 8, 9])
    assert [place.id for place in reduced.places] == ids[:3] + ids[6:]
    assert list(reduced.breaks) == [3]


@pytest.mark.parametrize("model", [BayesFilter, LineSearch])
def test_belief_never_moves_across_a_gap(model: type[SequenceModel]) -> None:
    gap = 13

    def beyond(borders: list[int]) -> float:
        one = model()
        for at in range(gap):
            seen = np.full(30, -3, np.float32)
            seen[at] = 3
            one.update(seen, True, borders)
        return float(one.update(np.full(30, -1, np.float32), True, borders)[gap : gap + 3].sum())

    assert beyond([]) > 0.5
    assert beyond([gap, 14, 22]) < 0.2


def test_a_drive_with_gaps_is_in_order_and_a_heap_is_not() -> None:
    descriptors = street(100, seed=5)
    reference = ReferenceMap("network", "weights")
    for at, descriptor in enumerate(descriptors):
        if at % 7 == 6:
            reference.leave_out()
        reference.add(descriptor, str(at))
    assert is_in_order(reference)
    heap = ReferenceMap("network", "weights")
    for at in np.random.default_rng(1).permutation(100).tolist():
        heap.add(descriptors[at], str(at))
    assert not is_in_order(heap)


def test_growth_is_as_it_was_after_saving_and_loading(tmp_path: Path) -> None:
    drive = Drive()
    drive.go(by_day())
    drive.go(seen_again(by_day(), 50, 1.2))
    drive.map.save(tmp_path / "map.fvm")
    loaded = ReferenceMap.load(tmp_path / "map.fvm")
    assert loaded.places == drive.map.places
    assert list(loaded.breaks) == list(drive.map.breaks)
    for ours, theirs in zip(loaded.looks(len(loaded)), drive.map.looks(len(loaded)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(loaded.least_serving(50), drive.map.least_serving(50))
    assert loaded.served == drive.map.served


def test_a_limit_drops_what_was_not_recognised_for_longest() -> None:
    reference = ReferenceMap("network", "weights")
    reference.extend(street(64), [str(place) for place in range(64)])
    for place in range(10, 30):
        reference.serve(place)
    kept = kept_places(reference, GrowthOptions(max_places=50))
    assert kept is not None
    assert len(kept) == 47
    gone = sorted(set(range(64)) - set(kept.tolist()))
    assert gone == [*range(6), *range(34, 45)], "the oldest of those that were not recognised"
    assert kept_places(reference, GrowthOptions(max_places=64)) is None
    assert kept_places(reference, GrowthOptions(max_places=0)) is None


def test_a_limited_map_still_recognises_what_it_has_room_for() -> None:
    drive = Drive(GrowthOptions(max_places=150))
    drive.go(street(200, seed=8))
    drive.go(by_day())
    for lap in range(2):
        right = drive.go(seen_again(by_day(), lap, 0.3))
        assert len(drive.map) <= 150
    assert right >= 0.65 * PLACES


def test_the_first_look_can_be_forgotten_and_the_next_stands_for_it() -> None:
    reference = ReferenceMap("network", "weights")
    day = reference.add(street(3)[0], "day")
    for name in ("night", "rain"):
        reference.add(street(3, seed=len(name))[1], name, look_of=day.id)
    reduced = reference.select([1, 2])
    looks, firsts = reduced.looks(2)
    assert looks.tolist() == [1]
    assert firsts.tolist() == [0]
    assert reduced.looks_of(1).tolist() == [0, 1]
