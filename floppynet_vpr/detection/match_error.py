# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How far from a place the camera may be that recognises it: a small model, measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import Place


@dataclass(frozen=True)
class MatchError:
    """Standard deviations of the camera's pose from that of the place it recognises rightly.

    Along the way: `along_metres`, and `along_places` times the places' spacing. To the side, and up
    and down: `side_metres`. About each axis: `degrees`. Each cell that the match is shifted
    sideways adds `shift_metres` and `shift_degrees`: a camera in another lane and one that is
    turned shift what is seen alike. docs/relocalisation.md says what they were measured on.
    """

    along_metres: float = 0.7
    along_places: float = 0.5
    side_metres: float = 1.0
    degrees: float = 3.0
    shift_metres: float = 1.2
    shift_degrees: float = 5.0

    def covariance(self, spacing_m: float, shift: int = 0) -> NDArray[np.float64]:
        """Covariance (6, 6) of x, y, z in metres and the turns about them in radians, x forward.

        `spacing_m`: metres from place to place; `shift`: cells sideways, of either sign.
        """
        along = math.hypot(self.along_metres, self.along_places * spacing_m)
        shifted = abs(shift)
        side = math.hypot(self.side_metres, self.shift_metres * shifted)
        turn = math.radians(math.hypot(self.degrees, self.shift_degrees * shifted))
        return np.diag([along**2, side**2, side**2, turn**2, turn**2, turn**2])

    def covariance_in_map(
        self, places: Sequence[Place], index: int, shift: int = 0
    ) -> NDArray[np.float64]:
        """The same at a place of a map, along the axes of the frame that its pose is in.

        Where the map does not tell in which direction the way leads, it may be any.
        """
        way, spacing = way_at(places, index)
        covariance = self.covariance(spacing, shift)
        along, side = covariance[0, 0], covariance[1, 1]
        if way is None:
            covariance[1, 1] = covariance[2, 2] = max(along, side)
        else:
            covariance[:3, :3] = side * np.eye(3) + (along - side) * np.outer(way, way)
        return covariance


def way_at(places: Sequence[Place], index: int) -> tuple[NDArray[np.float64] | None, float]:
    """Where the way leads at a place, (3,) float64 of norm 1, and the metres from place to place.

    Both are by the places before and after it, of its session and with poses. None and 0: there are
    none, or they are at the same position.
    """
    near = places[max(index - 1, 0) : index + 2]
    beside = [
        np.array([one.pose.x, one.pose.y, one.pose.z])
        for one in near
        if one.pose is not None and one.session.uid == places[index].session.uid
    ]
    if len(beside) < 2:
        return None, 0.0
    way = beside[-1] - beside[0]
    length = float(np.sqrt(way @ way))
    return (way / length if length > 1e-6 else None), length / (len(beside) - 1)
