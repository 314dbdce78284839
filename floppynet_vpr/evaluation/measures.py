# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What answers are worth: S_P100, recall@N, precision over recall, runs without a localisation.

All measures work on the same two things: `truth`, (queries, references) bool, which pairs show the
same place; and `matches`, (queries, k) int, the references found for each query, best first, -1
where there is none. A query without an answer counts as one that was got wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray


def right_matches(matches: ArrayLike, truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the references found are right, (queries, k) bool."""
    found = np.asarray(matches, np.int64)
    found = found[:, None] if found.ndim == 1 else found
    if truth.shape[1] == 0:
        return np.zeros(found.shape, bool)
    right = np.take_along_axis(truth, np.clip(found, 0, truth.shape[1] - 1), axis=1)
    return np.asarray(right & (found >= 0) & (found < truth.shape[1]))


def recall_at(matches: ArrayLike, truth: NDArray[np.bool_], n: int) -> float:
    """Share (0 to 1) of all queries with a right reference among the `n` best."""
    right = right_matches(matches, truth)
    return float(right[:, :n].any(axis=1).mean()) if len(right) else 0.0


def s_p100(matches: ArrayLike, truth: NDArray[np.bool_]) -> float:
    """S_P100: 100 x queries whose best reference is right / all queries, that is recall@1."""
    return 100.0 * recall_at(matches, truth, 1)


def memory_efficiency(size_kib: float, s_p100: float) -> float | None:
    """eta_m = size in KiB / S_P100 (eq. 7 the right way up): lower is better, None at S_P100 0."""
    return size_kib / s_p100 if s_p100 else None


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall (0 to 1) at every threshold that makes a difference: (n,) each.

    `thresholds` are sureness, descending: with each a match more is accepted, or several that are
    equally sure.
    """

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
        return float(self.recall[self.precision == 1].max(initial=0.0))

    @property
    def extended_precision(self) -> float:
        """EP, 0 to 1: the mean of the precision at the smallest recall and of R@100P.

        It tells methods apart whose first match is wrong already: Ferrarini et al., "Exploring
        Performance Bounds of Visual Place Recognition Using Extended Precision" (RA-L 2020).
        """
        first = float(self.precision[0]) if len(self.precision) else 0.0
        return (first + self.recall_at_full_precision) / 2


def precision_recall(sureness: ArrayLike, right: ArrayLike, there: int) -> PrecisionRecallCurve:
    """Accept best matches from the surest on: an accepted match is right or wrong.

    `sureness`, (queries,), of each query's best match is larger for a surer one, -inf: never
    accepted; `right`, (queries,) bool, says whether it shows the query's place; so many queries as
    are `there` have a reference that shows their place.
    """
    sure = np.asarray(sureness, np.float64)
    matched = np.isfinite(sure)
    sure, correct = sure[matched], np.asarray(right, bool)[matched]
    order = np.argsort(-sure, kind="stable")
    sure, correct = sure[order], correct[order]
    # The last of equals stands for all of them: a threshold takes them together.
    last = np.flatnonzero(np.append(sure[1:] != sure[:-1], len(sure) > 0))
    found = np.cumsum(correct)[last]
    recall = found / there if there else np.zeros(len(last))
    return PrecisionRecallCurve(sure[last], found / (last + 1), recall)


def runs(flags: ArrayLike) -> list[tuple[int, int]]:
    """Where (n,) bool `flags` are true in a row: first, and one behind the last, of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(flags, np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def longest_stretch(right: ArrayLike) -> int:
    """The longest run of queries in a row without a localisation: how long a robot is lost."""
    return max((end - first for first, end in runs(~np.asarray(right, bool))), default=0)


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """The interval of a share (0 to 1) of which `right` of `total` were seen, to 95 %.

    Wilson's score interval keeps inside 0 to 1 and means something for few and for extreme counts,
    too.
    """
    if total == 0:
        return 0.0, 1.0
    share, z = right / total, 1.96
    spread = z * sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    middle, scale = share + z**2 / (2 * total), 1 + z**2 / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
