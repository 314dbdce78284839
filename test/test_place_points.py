# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Maps keep where the corners of their places are in space, and read files of before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_drives import street

from floppynet_vpr.extraction.local_features import LocalFeatures
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.map_content import FEATURES, POINTS

SLOTS = 8


def corners(seed: int, count: int = SLOTS, known: bool = True) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3)).astype(np.float32)
    points[0] = np.nan
    return LocalFeatures(
        rng.integers(0, 600, (count, 2)).astype(np.float32),
        rng.integers(0, 256, (count, 32), np.uint8),
        points if known else None,
    )


def map_of(*features: LocalFeatures | None, slots: int = SLOTS) -> ReferenceMap:
    reference = ReferenceMap("floppynet", "ab" * 32, features=slots)
    for descriptor, one in zip(street(len(features)), features, strict=True):
        reference.add(descriptor, "", features=one)
    return reference


def assert_points(reference: ReferenceMap, place: int, expected: LocalFeatures) -> None:
    found = reference.features_of(place)
    assert found is not None and np.array_equal(found.bits, expected.bits)
    assert found.points is not None
    wanted = np.full((len(found), 3), np.nan) if expected.points is None else expected.points
    assert np.array_equal(found.points, wanted, equal_nan=True)


def test_points_come_back_from_the_file_to_the_last_bit(tmp_path: Path) -> None:
    given = [corners(0), corners(1, 3), corners(2)]
    reference = map_of(*given)
    reference.save(tmp_path / "a.fvm")
    loaded = ReferenceMap.load(tmp_path / "a.fvm")
    assert loaded.has_points
    for place, one in enumerate(given):
        assert_points(loaded, place, one)
    loaded.save(tmp_path / "b.fvm")
    assert (tmp_path / "a.fvm").read_bytes() == (tmp_path / "b.fvm").read_bytes()


def test_without_depth_the_map_and_its_file_are_as_before(tmp_path: Path) -> None:
    reference = map_of(corners(0, known=False), None)
    assert not reference.has_points
    assert POINTS not in reference.content().tables and FEATURES in reference.content().tables
    reference.save(tmp_path / "a.fvm")
    loaded = ReferenceMap.load(tmp_path / "a.fvm")
    found = loaded.features_of(0)
    assert found is not None and found.points is None


def test_a_map_of_before_that_is_gone_on_with_takes_points(tmp_path: Path) -> None:
    before = corners(0, known=False)
    map_of(before, None).save(tmp_path / "a.fvm")
    reference = ReferenceMap.load(tmp_path / "a.fvm")
    after = corners(5)
    reference.add(street(3)[2], "", features=after)
    reference.save(tmp_path / "b.fvm")
    loaded = ReferenceMap.load(tmp_path / "b.fvm")
    assert_points(loaded, 0, before)
    assert loaded.features_of(1) is None
    assert_points(loaded, 2, after)


def test_places_taken_over_from_another_map_keep_their_points() -> None:
    given = [corners(0), corners(1), corners(2)]
    reference = map_of(*given)
    chosen = reference.select([0, 2])
    assert_points(chosen, 0, given[0])
    assert_points(chosen, 1, given[2])
    plain, narrow = map_of(corners(7, known=False)), map_of(corners(8, 4), slots=4)
    indices = np.array([0])
    plain.adopt(narrow, indices)
    assert_points(plain, 0, corners(7, known=False))
    assert_points(plain, 1, corners(8, 4))
    plain.adopt(map_of(corners(9, known=False)), indices)
    assert_points(plain, 2, corners(9, known=False))


def test_a_map_without_room_for_features_keeps_no_points() -> None:
    reference = map_of(corners(0), slots=0)
    assert not reference.has_points and reference.features_of(0) is None


@pytest.mark.parametrize("row", [SLOTS * 12 - 12, SLOTS * 12 + 12, SLOTS * 12.0])
def test_a_table_of_points_that_does_not_fit_the_features_is_refused(
    row: float, tmp_path: Path
) -> None:
    import json

    from test_mapping_file import facts_of, replace_text

    path = tmp_path / "a.fvm"
    map_of(corners(0)).save(path)
    content = path.read_bytes()
    facts = facts_of(content)
    assert facts["tables"][-1] == ["points", SLOTS * 12, 1]
    facts["tables"][-1][1] = row
    replace_text(path, content, json.dumps(facts).encode())
