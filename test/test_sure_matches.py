# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A recognition is sure when images in a row agree, and look like what they are taken for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from floppynet_vpr.detection import Candidate, Detection, Limits
from floppynet_vpr.detection.match_error import MatchError, way_at
from floppynet_vpr.detection.sure_matches import STANDS_OUT, SureMatches
from floppynet_vpr.mapping import Place, Pose, Session

MONDAY, TUESDAY = Session(1, "monday"), Session(2, "tuesday")
LIMITS = Limits(2.0, 0.7, 0.0, "automatic")


def seen(
    index: int,
    standing: float = 5.0,
    reason: str = "",
    session: Session = MONDAY,
    pose: bool = True,
) -> Detection:
    """The verdict on an image that shows the place `index`."""
    place = Place(index, "", 0, session, Pose(float(index), 0.0, 0.0) if pose else None)
    return Detection(LIMITS, (Candidate(place, index, 0.5, 0.9),), 0.9, reason, standing)


def objection(*verdicts: Detection, images: int = 3) -> str:
    sure = SureMatches()
    for verdict in verdicts:
        sure.take(verdict)
    return sure.objection(images)


def test_images_in_a_row_that_agree_are_sure() -> None:
    assert objection(seen(10), seen(11), seen(14)) == ""
    assert objection(seen(10), seen(11)) == "2 in a row recognised it, not yet 3"
    assert objection(images=1) == "0 in a row recognised it, not yet 1"


@pytest.mark.parametrize(
    "other",
    [
        seen(11, reason="belief 0.5 is below 0.7"),
        seen(11, pose=False),
        Detection(LIMITS, (), 0.0, "the map has no place to match"),
    ],
)
def test_an_image_without_a_match_or_a_pose_starts_anew(other: Detection) -> None:
    assert objection(seen(10), seen(10), other, seen(12), seen(12)).startswith("2 in a row")


def test_a_jump_or_another_session_starts_anew() -> None:
    assert objection(seen(10), seen(18), seen(26)) == ""
    assert objection(seen(10), seen(10), seen(19)).startswith("1 in a row")
    assert objection(seen(10), seen(10), seen(11, session=TUESDAY)).startswith("1 in a row")


def test_what_was_only_believed_before_is_not_sure() -> None:
    """A robot that was carried off is taken to drive on where it was."""
    carried_off = [seen(10 + step, standing=1.0) for step in range(8)]
    told = objection(seen(8), seen(9), *carried_off)
    assert told.startswith("it is believed for what was seen before")
    assert "stands out by 1.0" in told and f"should be {STANDS_OUT:g}" in told
    # The mean of as many as are asked for counts, so that one dull image does no harm.
    assert objection(*carried_off, seen(18, 5.0), seen(19, 1.0), seen(20, 4.0)) == ""


def places(*poses: Pose | None) -> list[Place]:
    return [Place(index, "", 0, MONDAY, pose) for index, pose in enumerate(poses)]


def test_the_error_lies_along_the_way_of_the_map() -> None:
    error = MatchError()
    along, side = error.along_metres**2 + (2 * error.along_places) ** 2, error.side_metres**2
    diagonal = places(*(Pose(k * math.sqrt(2), k * math.sqrt(2), 0.0) for k in range(3)))
    covariance = error.covariance_in_map(diagonal, 1)
    half = (along + side) / 2
    assert covariance[:2, :2] == pytest.approx(
        np.array([[half, (along - side) / 2], [(along - side) / 2, half]])
    )
    assert covariance[2, 2] == pytest.approx(side)
    assert np.sqrt(covariance[5, 5]) == pytest.approx(math.radians(error.degrees))
    shifted = error.covariance_in_map(diagonal, 1, -1)
    assert shifted[2, 2] == pytest.approx(side + error.shift_metres**2)
    assert np.degrees(np.sqrt(shifted[5, 5])) == pytest.approx(
        math.hypot(error.degrees, error.shift_degrees)
    )


def test_without_neighbours_the_way_may_lead_anywhere() -> None:
    error = MatchError()
    alone = places(None, Pose(1.0, 2.0, 0.0), None)
    assert way_at(alone, 1) == (None, 0.0)
    wide = replace(error, along_metres=3.0).covariance_in_map(alone, 1)
    assert np.diag(wide)[:3] == pytest.approx([9.0] * 3)
    standing = places(*[Pose(1.0, 2.0, 0.0)] * 3)
    assert way_at(standing, 1) == (None, 0.0)
    ends = places(Pose(0.0, 0.0, 0.0), Pose(0.0, 3.0, 0.0))
    way, spacing = way_at(ends, 0)
    assert way is not None and way.tolist() == [0.0, 1.0, 0.0] and spacing == 3.0
    other_day = [ends[0], replace(ends[1], session=TUESDAY)]
    assert way_at(other_day, 0) == (None, 0.0)
