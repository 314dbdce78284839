# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The middle of the road: a gently winding line or one around a block, in metres from its start.

Everything in the street is placed by two numbers, the distance along this line and the offset to
its left, so that a curve needs no other geometry than a straight.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_STEP_M = 0.25


@dataclass(frozen=True)
class Centerline:
    """A line of heading turn_rad s / length_m + swing_rad sin(2 pi s / period_m), from world x on.

    `turn_rad` is how far the line turns to the left along its length, beside its winding.
    """

    length_m: float
    swing_rad: float = 0.14
    period_m: float = 170.0
    turn_rad: float = 0.0

    @classmethod
    def around_block(cls, length_m: float) -> "Centerline":
        """A line counter-clockwise around a block with four round corners, which ends in itself.

        The curvature is 2 pi / L (1 - cos(8 pi s / L)): none in the middle of each side, where the
        line begins, and a radius of L / (4 pi) in the corners.
        """
        return cls(length_m, -0.25, length_m / 4, 2 * np.pi)

    def heading(self, along_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """The direction of the line, radians to the left of world x, at distances along it."""
        winding = self.swing_rad * np.sin(2 * np.pi * along_m / self.period_m)
        return winding + self.turn_rad * along_m / self.length_m

    def points(
        self, along_m: NDArray[np.float64], left_m: NDArray[np.float64] | float
    ) -> NDArray[np.float64]:
        """World x, y (n, 2) of points `left_m` left of the line at the distances `along_m` (n,)."""
        along_m = np.asarray(along_m, np.float64)
        stations, x, y = self._table
        here = self.heading(along_m)
        return np.stack(
            [
                np.interp(along_m, stations, x) - left_m * np.sin(here),
                np.interp(along_m, stations, y) + left_m * np.cos(here),
            ],
            axis=1,
        )

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Distance along the line, x and y: the heading integrated by the midpoint rule."""
        stations = np.arange(-50.0, self.length_m + 50.0, _STEP_M)
        heading = self.heading(stations[:-1] + _STEP_M / 2)
        x = np.concatenate([[0.0], np.cumsum(np.cos(heading))]) * _STEP_M
        y = np.concatenate([[0.0], np.cumsum(np.sin(heading))]) * _STEP_M
        origin = np.searchsorted(stations, 0.0)
        return stations, x - x[origin], y - y[origin]
