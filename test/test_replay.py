# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a launched replay decides and says."""

from __future__ import annotations

from pathlib import Path

import pytest

from floppynet_vpr.ros.processes import image_profile
from floppynet_vpr.ros.replay import DISCOVERY_S, after_exit, how_long


def test_a_step_that_failed_ends_the_launch_with_an_error() -> None:
    assert after_exit("making the bags", 0, False, ["next"]) == ["next"]
    with pytest.raises(RuntimeError, match="making the bags failed with status 1"):
        after_exit("making the bags", 1, False, ["next"])


@pytest.mark.parametrize("status", [0, 1, -2])
def test_nothing_follows_while_the_launch_is_ending(status: int) -> None:
    assert after_exit("the replay", status, True, ["shutdown"]) == []


def test_a_replay_says_how_long_it_takes() -> None:
    stamps = [10**9 * second for second in range(0, 35701)]
    assert how_long(stamps, 1.0) == "35701 images, 9:55:00"
    assert how_long(stamps, 10.0) == "35701 images, 0:59:30"
    assert how_long([], 1.0) == "0 images, 0:00:00"


@pytest.mark.parametrize(
    ("distro", "names"),
    [
        ("humble", {"FASTRTPS_DEFAULT_PROFILES_FILE"}),
        ("jazzy", {"FASTRTPS_DEFAULT_PROFILES_FILE"}),
        ("kilted", {"FASTDDS_DEFAULT_PROFILES_FILE"}),
        ("rolling", {"FASTDDS_DEFAULT_PROFILES_FILE"}),
    ],
)
def test_fast_dds_gets_the_variable_that_its_version_reads(
    distro: str, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ament_index_python", reason="needs ROS 2")
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROS_DISTRO", distro)
    assert set(image_profile()) == names


def test_replays_leave_dds_the_time_that_one_of_its_announcements_takes() -> None:
    assert DISCOVERY_S > 3.0
    page = (Path(__file__).resolve().parents[1] / "docs" / "first_hour.md").read_text()
    assert f"ros2 bag play lap_2_bag --delay {DISCOVERY_S:g}" in page
