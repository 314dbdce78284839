# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How places are looked for in the field, with what training validates by.

A camera in another lane, or tilted, sees the same things a cell or two away in the feature map; and
a drive is followed, not looked at image by image. Weights are to be good at that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.evaluation.measures import precision_recall, right_matches
from floppynet_vpr.mapping import ReferenceMap

SIDE, CHANNELS = 6, 256
SIDEWAYS, UPWARDS = 2, 1
STEP_COST = 1.05
"""What each cell of shift multiplies a distance by."""

_FRAME_NS = 1_000_000_000


def tolerant_distances(
    queries: NDArray[np.float32], references: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Distances of feature maps, the least over shifts: (queries, references) float32.

    Both are descriptors of one drive each, (n, 9216), less their mean. For each shift of up to two
    cells sideways and one up or down only the cells that meet are compared: 1 - cosine, times 1.05
    for each step.
    """
    asked, known = (
        (rows - rows.mean(0)).reshape(-1, SIDE, SIDE, CHANNELS) for rows in (queries, references)
    )
    least = np.full((len(asked), len(known)), np.inf, np.float32)
    for down in range(-UPWARDS, UPWARDS + 1):
        for right in range(-SIDEWAYS, SIDEWAYS + 1):
            one = _normalised(asked[:, _met(down), _met(right)])
            other = _normalised(known[:, _met(-down), _met(-right)])
            cost = np.float32(STEP_COST ** (abs(down) + abs(right)))
            np.minimum(least, (1 - one @ other.T) * cost, out=least)
    return least


def _met(by: int) -> slice:
    """The rows, or columns, of a map that meet one of another map moved by so many cells."""
    return slice(max(0, by), SIDE + min(0, by))


def _normalised(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = cells.reshape(len(cells), -1)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, np.float32(1), norms)


def recall_along_the_drive(
    queries: NDArray[np.float32], references: NDArray[np.float32], truth: NDArray[np.bool_]
) -> float:
    """Recall (0 to 1) at full precision of the detector as the node runs it.

    Descriptors, (n, 9216), are of two drives in the order of time; matches are ranked by belief.
    """
    known = ReferenceMap("", "")
    stamps = [_FRAME_NS * index for index in range(len(references))]
    known.extend(references, [""] * len(references), stamps)
    detector = LoopClosureDetector(known, DetectorOptions(sequence="filter"))
    found = [detector.detect(row, i * _FRAME_NS) for i, row in enumerate(queries)]
    matches = np.array([each.candidates[0].index for each in found])
    beliefs = np.array([each.measure for each in found])
    right = right_matches(matches, truth)[:, 0]
    return precision_recall(beliefs, right, int(truth.any(1).sum())).recall_at_full_precision
