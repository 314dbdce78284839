# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What the node logs of its own accord: once what is wrong, and now and then what it did."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from floppynet_vpr.ros.notices import Notices
from floppynet_vpr.ros.progress import Progress
from floppynet_vpr.ros.statistics import FrameStatistics, FrameTimes


def test_each_minute_with_images_is_summed_up_and_one_without_is_not() -> None:
    log: list[str] = []
    now = [0.0]
    progress = Progress(SimpleNamespace(info=log.append), lambda: now[0])
    statistics = FrameStatistics()

    def images(count: int, detected: int) -> None:
        for number in range(count):
            statistics.image_received(dropped_older=number == 0)
            statistics.frame_processed(FrameTimes(0.0, 0.0, 0.0), number < detected)

    images(5, 2)
    progress.look(statistics.snapshot(), "loop closure", 7)
    progress.look(statistics.snapshot(), "loop closure", 7)
    assert log == ["images are answered; the first answers: loop closure"]
    for minute, (count, detected) in enumerate([(3, 1), (0, 0), (4, 4)], 1):
        images(count, detected)
        now[0] = 60.0 * minute
        progress.look(statistics.snapshot(), "", 7 + minute)
    assert log[1:] == [
        "the last 60 s: 8 images, 8 answered, 2 dropped, 0 unusable; 3 loop closures; "
        "the map has 8 places",
        "the last 60 s: 4 images, 4 answered, 1 dropped, 0 unusable; 4 loop closures; "
        "the map has 10 places",
    ]


def test_a_warning_is_told_once_whatever_its_numbers() -> None:
    log: list[str] = []
    notices = Notices(SimpleNamespace(warning=log.append))
    for text in ("late by 0.31 s", "late by 12 s", "no frame map", "no frame map"):
        notices.warn(text)
    assert log == ["late by 0.31 s", "no frame map"]
