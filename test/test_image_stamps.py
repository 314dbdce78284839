# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Images have a time also where their stamps are zero or stand still."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import WARN, Client, StartNode, image_message, view

from floppynet_vpr.mapping.places import MOST_PLACES
from floppynet_vpr.ros.image_stamps import ImageStamps

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def test_stamps_that_move_are_taken_as_they_are() -> None:
    stamps = ImageStamps(lambda: START)
    for stamp in (5, 6, 4, 5):
        assert stamps.taken_at(stamp * SECOND, time.perf_counter()) == stamp * SECOND
        assert not stamps.problem


@pytest.mark.parametrize("clock", [START, 0])
def test_a_stamp_of_zero_means_the_time_of_arrival(clock: int) -> None:
    stamps = ImageStamps(lambda: clock)
    expected = clock or time.time_ns()
    before = time.perf_counter()
    taken = [stamps.taken_at(0, before - ago) for ago in (3.0, 2.0)]
    spent = (time.perf_counter() - before) * SECOND
    slack = spent + (0 if clock else time.time_ns() - expected) + 1000
    assert taken[0] == pytest.approx(expected - 3 * SECOND, abs=slack)
    assert taken[1] - taken[0] == pytest.approx(SECOND, abs=slack)
    assert "zero" in stamps.problem
    assert stamps.taken_at(START, before) == START
    assert not stamps.problem


def test_where_stamps_stand_still_time_passes_as_images_arrive() -> None:
    stamps = ImageStamps(lambda: START)
    assert [stamps.taken_at(7 * SECOND, arrived) for arrived in (100.0, 100.5)] == [
        7 * SECOND,
        7 * SECOND + SECOND // 2,
    ]
    assert not stamps.problem  # once more may be an image sent twice
    assert stamps.taken_at(7 * SECOND, 112.0) == 19 * SECOND
    assert "stand still at 7.000" in stamps.problem
    assert stamps.taken_at(8 * SECOND, 113.0) == 8 * SECOND
    assert not stamps.problem


@pytest.mark.parametrize(("stamp", "told"), [(0, "no stamp (zero)"), (77, "stand still at 77.0")])
def test_a_map_made_while_driving_matches_whatever_the_stamps(
    start_node: StartNode, client: Client, stamp: int, told: str
) -> None:
    node = start_node(
        mode="both",
        matching="rigid",
        sequence="none",
        threshold=0.5,
        exclude_images=3,
        exclude_seconds=0.2,
    )
    publisher = client.image_publisher()
    for lap in range(2):
        for number in range(6):
            publisher.publish(image_message(view(4 * number), stamp))
            answers = client.wait_for_answers(6 * lap + number + 1)
        first = time.monotonic()
        client.wait_for(lambda since=first: time.monotonic() - since > 0.3, "the laps to be apart")  # type: ignore[misc]
    second = answers[6:12]
    assert [answer.candidates[0].place_id % MOST_PLACES for answer in second] == list(range(6))
    assert all(answer.detected for answer in second)
    assert {answer.header.stamp.sec for answer in answers} == {stamp}
    node.wait_for_log(told)
    values = client.wait_for_diagnostics(lambda v: told in v["summary"])
    assert told in values["stamps of images"] and values["level"] == WARN
    assert node.log.count(told) == 1
