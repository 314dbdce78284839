# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How good the retrieval is: S_P100, recall@N, precision and recall of detections.

All measures work on the same two things: `truth`, (queries, references) bool, which pairs show the
same place; and `matches`, (queries, k) int, the references found for each query, nearest first, -1
where there is none. A query without an answer counts as one that was got wrong.
"""

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
    """Share (0 to 1) of all queries with a right reference among the `n` nearest."""
    right = right_matches(matches, truth)
    return float(right[:, :n].any(axis=1).mean()) if len(right) else 0.0


def s_p100(matches: ArrayLike, truth: NDArray[np.bool_]) -> float:
    """S_P100: 100 x queries whose nearest reference is right / all queries, that is recall@1."""
    return 100.0 * recall_at(matches, truth, 1)


@dataclass(frozen=True)
class Detections:
    """Counts of loop closures: detected and right, detected and wrong, there but not detected.

    A closure is there to be detected if any reference shows the query's place.
    """

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float | None:
        """Share (0 to 1) of the detections that are right; None if nothing was detected."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """Share (0 to 1) of what was there that was rightly detected; None if nothing was there."""
        there = self.right + self.missed
        return self.right / there if there else None


def count_detections(
    detected: ArrayLike, matches: ArrayLike, truth: NDArray[np.bool_]
) -> Detections:
    """Compare the flags `detected`, (queries,) bool, of the nearest references with the truth."""
    flags = np.asarray(detected, bool)
    right = right_matches(matches, truth)[:, 0]
    there = truth.any(axis=1)
    return Detections(
        right=int(np.sum(flags & right)),
        wrong=int(np.sum(flags & ~right)),
        missed=int(np.sum(there & ~(flags & right))),
    )


def wilson_interval(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share (0 to 1) of which `right` of `total` were seen; z = 1.96: 95 %.

    Wilson's score interval keeps inside 0 to 1 and means something for few and for extreme counts,
    too.
    """
    if total == 0:
        return 0.0, 1.0
    share = right / total
    spread = z * sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    middle, scale = share + z**2 / (2 * total), 1 + z**2 / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
