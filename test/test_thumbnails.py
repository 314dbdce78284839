# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Small pictures of places: made, kept in maps and their files, and left in a file until asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_drives import street

from floppynet_vpr.imaging.thumbnail import MOST_BYTES, make_thumbnail, read_thumbnail
from floppynet_vpr.mapping import ReferenceMap, join_maps


def picture(shade: int, height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    """A picture whose red grows from left to right, of this blue."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 200, width)
    image[..., 2] = shade
    return image


def pictured(count: int = 4, without: int = 2, seed: int = 0) -> ReferenceMap:
    """A map with thumbnails, but for one place."""
    reference = ReferenceMap("network", "weights", thumbnails=True)
    reference.begin_session(f"drive {seed}")
    for place, descriptor in enumerate(street(count, seed)):
        thumbnail = None if place == without else make_thumbnail(picture(20 * place))
        reference.add(descriptor, str(place), thumbnail=thumbnail)
    return reference


def kept(reference: ReferenceMap) -> list[bytes | None]:
    return [reference.thumbnail_of(index) for index in range(len(reference))]


@pytest.mark.parametrize(
    "size", [(480, 640), (1080, 1920), (1920, 1080), (20, 31), (1, 1), (9, 999)]
)
def test_a_thumbnail_is_a_small_jpeg_of_the_picture(size: tuple[int, int]) -> None:
    encoded = make_thumbnail(picture(90, *size))
    assert 0 < len(encoded) <= MOST_BYTES
    assert encoded.startswith(b"\xff\xd8")
    found = read_thumbnail(encoded)
    assert found is not None
    assert max(found.shape[:2]) == min(160, max(size))
    assert np.abs(found[..., 2].astype(int) - 90).mean() < 12


def test_even_noise_fits() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    pixels = np.kron(noise[:120, :160], np.ones((4, 4, 1), np.uint8))
    assert 0 < len(make_thumbnail(pixels)) <= MOST_BYTES


def test_bytes_that_are_no_picture_give_none() -> None:
    assert read_thumbnail(b"") is None
    assert read_thumbnail(b"no picture") is None


def test_a_map_keeps_thumbnails_in_its_file(tmp_path: Path) -> None:
    reference = pictured()
    assert kept(reference)[2] is None
    reference.save(tmp_path / "map.fvm")
    loaded = ReferenceMap.load(tmp_path / "map.fvm")
    assert loaded.thumbnails
    assert kept(loaded) == kept(reference)


def test_what_was_loaded_goes_on_growing_and_is_saved_again_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    pictured().save(path)
    loaded = ReferenceMap.load(path)
    loaded.add(street(5)[4], "new", thumbnail=make_thumbnail(picture(200)))
    expected = kept(loaded)
    loaded.save(path)
    assert kept(loaded) == expected, "the former file is still read"
    assert kept(ReferenceMap.load(path)) == expected
    assert expected[4] is not None


def test_forgetting_and_merging_keep_thumbnails(tmp_path: Path) -> None:
    one = pictured(seed=1)
    one.save(tmp_path / "one.fvm")
    loaded = ReferenceMap.load(tmp_path / "one.fvm")
    assert kept(loaded.select([1, 3])) == [kept(one)[1], kept(one)[3]]
    plain = ReferenceMap("network", "weights")
    plain.add(street(2)[1], "plain")
    joined = join_maps({"one": loaded, "plain": plain})
    assert kept(joined) == [*kept(one), None]


def test_a_map_without_thumbnails_has_no_table_of_them(tmp_path: Path) -> None:
    reference = ReferenceMap("network", "weights")
    reference.add(street(1)[0], "a", thumbnail=make_thumbnail(picture(1)))
    assert reference.thumbnail_of(0) is None
    reference.save(tmp_path / "map.fvm")
    assert b'"thumbnails"' not in (tmp_path / "map.fvm").read_bytes()
    assert not ReferenceMap.load(tmp_path / "map.fvm").thumbnails


def test_a_file_cut_off_under_a_loaded_map_costs_the_pictures_alone(tmp_path: Path) -> None:
    path = tmp_path / "map.fvm"
    reference = pictured()
    reference.save(path)
    loaded = ReferenceMap.load(path)
    path.write_bytes(path.read_bytes()[:200])
    assert kept(loaded) == [None] * 4
    found = loaded.search(street(4), 1)
    assert found.indices[:, 0].tolist() == [0, 1, 2, 3]
    loaded.save(path)
    assert len(ReferenceMap.load(path)) == 4
