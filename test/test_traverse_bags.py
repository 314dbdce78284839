# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The two drives of the demo: which folders are meant, and bags that are made once."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.gps import read_metres
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.datasets.traverse_bags import choose_traverses, folder_bag
from floppynet_vpr.errors import VprError
from floppynet_vpr.synthetic.lap_bags import synthetic_bag
from floppynet_vpr.synthetic.route import FIRST_LAP, SECOND_LAP, SyntheticRoute


def no_progress(frames: Iterable[Frame], total: int, label: str) -> Iterable[Frame]:
    return frames


def make_drive(folder: Path, count: int = 3, suffix: str = ".jpg") -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        image = np.full((20, 30, 3), 40 * index, np.uint8)
        assert cv2.imwrite(str(folder / f"image{index + 8}{suffix}"), image)
    return folder


def test_two_folders_are_reference_and_query_in_natural_order(tmp_path: Path) -> None:
    for name in ("drive10", "drive9"):
        make_drive(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert choose_traverses(tmp_path) == (tmp_path / "drive9", tmp_path / "drive10")


def test_one_name_leaves_the_other_folder(tmp_path: Path) -> None:
    for name in ("day", "night"):
        make_drive(tmp_path / name)
    swapped = (tmp_path / "night", tmp_path / "day")
    assert choose_traverses(tmp_path, reference="night") == swapped
    assert choose_traverses(tmp_path, query="day") == swapped


def test_more_than_two_folders_are_named_and_must_be_chosen(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        make_drive(tmp_path / name)
    with pytest.raises(VprError, match=r"\(a, b, c\): say which two, with --reference NAME"):
        choose_traverses(tmp_path)
    with pytest.raises(VprError, match="say which two"):
        choose_traverses(tmp_path, reference="a")
    assert choose_traverses(tmp_path, "c", "a") == (tmp_path / "c", tmp_path / "a")


def test_wrong_choices_are_explained(tmp_path: Path) -> None:
    with pytest.raises(VprError, match="is no folder"):
        choose_traverses(tmp_path / "missing")
    make_drive(tmp_path / "only")
    with pytest.raises(VprError, match="two folders of images, one for each drive; has: only"):
        choose_traverses(tmp_path)
    make_drive(tmp_path / "other")
    with pytest.raises(VprError, match="there are: only, other"):
        choose_traverses(tmp_path, reference="typo")
    with pytest.raises(VprError, match="both only"):
        choose_traverses(tmp_path, "only", "only")


def test_the_bag_of_a_folder_holds_its_images_and_stamps(tmp_path: Path) -> None:
    folder = make_drive(tmp_path / "data" / "day")
    bag = folder_bag(folder, "reference", tmp_path / "day", no_progress)
    frames = list(open_source(bag.path))
    assert bag.made and bag.compressed and bag.topic == "/camera/image_raw/compressed"
    assert bag.label == "day" and bag.positions is None
    assert np.diff([frame.stamp_ns for frame in frames]).tolist() == [100_000_000] * 2
    names = ("image8.jpg", "image9.jpg", "image10.jpg")
    assert [frame.encoded for frame in frames] == [(folder / name).read_bytes() for name in names]


def test_images_that_are_not_all_jpeg_become_raw(tmp_path: Path) -> None:
    folder = make_drive(tmp_path / "data" / "mixed", suffix=".bmp")
    bag = folder_bag(folder, "query", tmp_path / "mixed", no_progress)
    assert not bag.compressed and bag.topic == "/camera/image_raw"


def test_a_bag_is_made_again_only_when_its_images_change(tmp_path: Path) -> None:
    folder = make_drive(tmp_path / "data" / "day")
    first = folder_bag(folder, "reference", tmp_path / "day", no_progress)
    kept = folder_bag(folder, "reference", tmp_path / "day", no_progress)
    assert first.made and not kept.made and replace(kept, made=True) == first
    (folder / "image8.jpg").unlink()
    again = folder_bag(folder, "reference", tmp_path / "day", no_progress)
    assert again.made and len(open_source(again.path)) == 2
    (tmp_path / "day.json").write_text("{ cut off")
    assert folder_bag(folder, "reference", tmp_path / "day", no_progress).made


def test_a_bag_whose_writing_was_interrupted_is_made_again(tmp_path: Path) -> None:
    route = SyntheticRoute(length_m=3.0)

    def interrupted(frames: Iterable[Frame], total: int, label: str) -> Iterable[Frame]:
        yield next(iter(frames))
        raise KeyboardInterrupt

    out = tmp_path / "lap_1"
    synthetic_bag(route, FIRST_LAP, "reference", out, no_progress)
    longer = SyntheticRoute(length_m=4.0)
    with pytest.raises(KeyboardInterrupt):
        synthetic_bag(longer, FIRST_LAP, "reference", out, interrupted)
    bag = synthetic_bag(longer, FIRST_LAP, "reference", out, no_progress)
    assert bag.made and len(list(open_source(out))) == 4
    assert bag.positions is not None
    bag.positions.unlink()
    assert synthetic_bag(longer, FIRST_LAP, "reference", out, no_progress).made


def test_the_laps_have_positions_in_metres_and_no_stamp_in_common(tmp_path: Path) -> None:
    route = SyntheticRoute(length_m=6.0)
    first = synthetic_bag(route, FIRST_LAP, "reference", tmp_path / "lap_1", no_progress)
    second = synthetic_bag(route, SECOND_LAP, "query", tmp_path / "lap_2", no_progress)
    assert not first.compressed
    for bag, lap in ((first, FIRST_LAP), (second, SECOND_LAP)):
        assert bag.positions is not None
        names = [""] * len(open_source(bag.path))
        metres = read_metres(bag.positions, names)
        assert metres is not None and metres[:, 0].tolist() == list(route.positions_m(lap))
    stamps = [{frame.stamp_ns for frame in open_source(bag.path)} for bag in (first, second)]
    assert not stamps[0] & stamps[1]
