# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a labelled drive taught about a map: how sure a match is, and where to draw the line."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Turns what a detector measures of its best match into the share of such matches right.

    `mode` names the way of detection that was calibrated (`DetectorOptions.mode`). The measure is
    the belief (0 to 1) where sequences are matched; of single images how distinct the match is with
    tolerant matching, the distance (eq. 6, 0 to 2) with rigid matching. `shares[i]` (0 to 1) goes
    with the measure `levels[i]`, ascending; between levels it is interpolated, beyond them it
    stays. `limit` is the measure up to which (distance) or from which on (the others) matches are
    accepted, so that at least `precision` of those accepted are right; of `queries` labelled
    queries `accepted` were and `right` of these rightly so.

    Raises ValueError for values that make no such curve.
    """

    mode: str
    levels: tuple[float, ...]
    shares: tuple[float, ...]
    limit: float
    precision: float
    queries: int
    accepted: int
    right: int

    def __post_init__(self) -> None:
        """Check that it is a curve."""
        numbers = (*self.levels, *self.shares, self.limit, self.precision)
        sound = (
            isinstance(self.mode, str)
            and all(isinstance(number, (int, float)) and isfinite(number) for number in numbers)
            and all(isinstance(n, int) for n in (self.queries, self.accepted, self.right))
            and 0 < len(self.levels) == len(self.shares)
            and all(low < high for low, high in zip(self.levels, self.levels[1:], strict=False))
            and all(0 <= share <= 1 for share in self.shares)
        )
        if not sound:
            raise ValueError("calibrations is wrong")

    def confidence(self, measure: float) -> float:
        """Give the share (0 to 1) of matches with this measure that are right."""
        return float(np.interp(measure, self.levels, self.shares))
