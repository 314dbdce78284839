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
from floppynet_vpr.detection.options import FILTER, SINGLE
from floppynet_vpr.evaluation.measures import precision_recall, right_matches
from floppynet_vpr.mapping import ReferenceMap

_FRAME_NS = 1_000_000_000


def tolerant_matches(
    queries: NDArray[np.float32], references: NDArray[np.float32]
) -> NDArray[np.int64]:
    """The reference that the node takes for nearest to each query by itself, (queries,) int64.

    Both are descriptors of one drive each, (n, 9216), in the order of time.
    """
    return _answers(queries, references, SINGLE)[0]


def recall_along_the_drive(
    queries: NDArray[np.float32], references: NDArray[np.float32], truth: NDArray[np.bool_]
) -> float:
    """Recall (0 to 1) at full precision of the detector as the node runs it.

    Descriptors, (n, 9216), are of two drives in the order of time; matches are ranked by belief.
    """
    matches, beliefs = _answers(queries, references, FILTER)
    right = right_matches(matches, truth)[:, 0]
    return precision_recall(beliefs, right, int(truth.any(1).sum())).recall_at_full_precision


def _answers(
    queries: NDArray[np.float32], references: NDArray[np.float32], sequence: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best match of each query, and what it is judged by, both (queries,)."""
    known = ReferenceMap("", "")
    known.extend(references, [""] * len(references))
    detector = LoopClosureDetector(known, DetectorOptions(sequence=sequence))
    found = [detector.detect(row, index * _FRAME_NS) for index, row in enumerate(queries)]
    best = [each.candidates[0].index for each in found]
    return np.array(best, np.int64), np.array([each.measure for each in found])
