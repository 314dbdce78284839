# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Precision and recall of loop closures over every threshold that makes a difference.

Each query is matched to its nearest reference and accepted if their distance is not above the
threshold. An accepted match is right or wrong; recall is the share of right ones among the queries
that have a reference to be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """One point for every distinct distance, ascending: (n,) each, precision and recall 0 to 1."""

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def area(self) -> float:
        """AUC-PR, 0 to 1: the trapezoids below the points, from precision 1 at recall 0.

        That is scikit-learn's `auc(recall, precision)` of its `precision_recall_curve`.
        """
        recall = np.concatenate(([0.0], self.recall))
        precision = np.concatenate(([1.0], self.precision))
        return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))

    @property
    def recall_at_full_precision(self) -> float:
        """R@100P, 0 to 1: the largest recall at which no accepted match is wrong."""
        full = self.recall[self.precision == 1]
        return float(full.max()) if len(full) else 0.0

    @property
    def extended_precision(self) -> float:
        """EP, 0 to 1: the mean of the precision at the smallest recall and of R@100P.

        It tells methods apart whose first match is wrong already: Ferrarini et al., "Exploring
        Performance Bounds of Visual Place Recognition Using Extended Precision" (RA-L 2020).
        """
        first = float(self.precision[0]) if len(self.precision) else 0.0
        return (first + self.recall_at_full_precision) / 2


def precision_recall(distances: ArrayLike, right: ArrayLike, there: int) -> PrecisionRecallCurve:
    """Work out the curve.

    Args:
        distances: (queries,) of each query and its nearest reference; not finite: no match.
        right: (queries,) bool, whether that reference shows the query's place.
        there: how many of the queries have a reference that shows their place.
    """
    distance = np.asarray(distances, np.float64)
    matched = np.isfinite(distance)
    distance, correct = distance[matched], np.asarray(right, bool)[matched]
    order = np.argsort(distance, kind="stable")
    distance, correct = distance[order], correct[order]
    # The last of equal distances stands for all of them: a threshold takes them together.
    last = np.flatnonzero(np.append(distance[1:] != distance[:-1], len(distance) > 0))
    found = np.cumsum(correct)[last]
    recall = found / there if there else np.zeros(len(last))
    return PrecisionRecallCurve(distance[last], found / (last + 1), recall)
