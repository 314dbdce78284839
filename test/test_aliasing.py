# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places that look alike though they are apart are found, told and drawn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_drives import street, unit

from floppynet_vpr.commands import map_info
from floppynet_vpr.detection.aliasing import find_aliasing
from floppynet_vpr.extraction import DESCRIPTOR_SIZE
from floppynet_vpr.mapping import Pose, ReferenceMap, join_maps


def twins(rows: NDArray[np.float32], *pairs: tuple[int, int]) -> NDArray[np.float32]:
    """Make the second place of each pair look like the first."""
    rng = np.random.default_rng(5)
    rows = rows.copy()
    for first, second in pairs:
        rows[second] = unit(rows[first] + 0.2 * unit(rng.normal(size=DESCRIPTOR_SIZE)))
    return rows


def map_of(rows: NDArray[np.float32], poses: list[Pose] | None = None) -> ReferenceMap:
    reference = ReferenceMap("floppynet", "ab" * 32)
    reference.extend(rows, [f"{i}.png" for i in range(len(rows))], range(len(rows)), poses or [])
    return reference


def test_places_that_look_alike_are_found_most_alike_first() -> None:
    pairs = [(10, 90), (40, 150)]
    found = find_aliasing(map_of(twins(street(200), *pairs)))
    assert found.searched == 200
    assert {(pair.first, pair.second) for pair in found.pairs[:2]} == set(pairs)
    assert found.aliased >= 4
    distances = [pair.distance for pair in found.pairs]
    assert distances == sorted(distances)
    assert all(pair.distance < found.limit and pair.metres is None for pair in found.pairs)
    assert find_aliasing(map_of(street(200))).aliased <= 6


def test_a_stretch_that_looks_like_another_is_told_once() -> None:
    pairs = [(20 + i, 120 + i) for i in range(5)]
    found = find_aliasing(map_of(twins(street(200), *pairs)))
    assert found.aliased >= 10
    told = [pair for pair in found.pairs if pair.second - pair.first == 100]
    assert len(told) == 1


def test_places_that_are_one_by_their_poses_are_no_aliases() -> None:
    pairs = [(10, 90), (40, 150)]
    poses = [Pose(3.0 * i, 0, 0) for i in range(200)]
    poses[90] = Pose(31.0, 2.0, 0)
    found = find_aliasing(map_of(twins(street(200), *pairs), poses))
    ids = {(pair.first, pair.second): pair.metres for pair in found.pairs}
    assert (10, 90) not in ids
    assert ids[(40, 150)] == 330


def test_the_same_street_in_two_sessions_is_no_alias() -> None:
    rows = street(100)
    again = unit(rows + 0.002 * np.random.default_rng(6).normal(size=rows.shape))
    joined = join_maps({"day": map_of(rows), "night": map_of(again)})
    assert find_aliasing(joined).aliased <= 6


def test_a_sample_of_a_large_map_is_searched_and_small_maps_are_not() -> None:
    shown: list[int] = []

    def progress(places: object) -> list[int]:
        shown.extend(places)
        return shown

    found = find_aliasing(map_of(street(300)), most=50, progress=progress)
    assert found.searched == len(shown) == 50
    assert (shown[0], shown[-1]) == (0, 299)
    assert find_aliasing(map_of(street(10))).searched == 0
    assert find_aliasing(map_of(street(0))).searched == 0


@pytest.mark.parametrize("posed", [False, True])
def test_map_info_tells_and_draws_them(
    posed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poses = [Pose(3.0 * i, 20 * np.sin(i / 20), 0) for i in range(120)] if posed else None
    rows = street(120)
    maps = {"day": map_of(twins(rows, (10, 90)), poses), "night": map_of(street(60, seed=3))}
    joined = join_maps(maps)
    joined.save(tmp_path / "map.fvm")
    picture = tmp_path / "map.png"
    assert map_info.main([str(tmp_path / "map.fvm"), "--plot", str(picture)]) == 0
    told = capsys.readouterr().out
    assert "of 180 places searched (180 in the map)" in told
    first, second = joined.places[10].id, joined.places[90].id
    assert f"place {first} (10.png) and {second} (90.png)" in told
    assert ("m apart" in told) == posed
    assert f"wrote {picture}" in told
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert min(drawn.shape[:2]) > 500
    ring = np.array([40, 39, 214])
    assert (np.abs(drawn.astype(int) - ring).sum(-1) < 20).sum() > 30, "the pair is marked in red"


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_small_maps_are_described_and_drawn_where_there_is_something_to_draw(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    map_of(street(count)).save(tmp_path / "map.fvm")
    status = map_info.main([str(tmp_path / "map.fvm"), "--plot", str(tmp_path / "map.png")])
    assert status == (0 if count > 1 else 1)
    assert (tmp_path / "map.png").exists() == (count > 1)
    assert count > 1 or "two are needed" in capsys.readouterr().err
