# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""All figures of one retrieval, under one of two conventions.

Some queries show a place that no reference shows. The paper divides S_P100 by all queries, so that
they count as wrong ("count"); many benchmarks judge only those that can be answered ("leave out").
Every score says which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from floppynet_vpr.evaluation.measures import recall_at, right_matches, wilson_interval
from floppynet_vpr.evaluation.precision_recall import PrecisionRecallCurve, precision_recall
from floppynet_vpr.evaluation.retrieval import Retrieval

CONVENTIONS: Final = {
    "count": "queries whose place no reference shows count as wrong",
    "leave-out": "queries whose place no reference shows are left out",
}
RECALL_AT: Final = (1, 5, 10, 20)


@dataclass(frozen=True)
class Scores:
    """What a retrieval is worth.

    `queries` were judged, `unanswerable` queries have no right reference (and are among the judged
    only by the convention "count"). `s_p100` and its 95 % interval are 0 to 100; `recall_at`,
    `auc_pr`, `recall_at_full_precision` and `extended_precision` are 0 to 1. `longest_stretch` is
    the longest run of judged queries in a row whose nearest reference is wrong.
    """

    convention: str
    queries: int
    unanswerable: int
    right: int
    s_p100: float
    interval: tuple[float, float]
    recall_at: Mapping[int, float]
    auc_pr: float
    recall_at_full_precision: float
    extended_precision: float
    longest_stretch: int


def score(
    retrieval: Retrieval, truth: NDArray[np.bool_], convention: str = "count"
) -> tuple[Scores, PrecisionRecallCurve]:
    """Judge a retrieval by the truth, (queries, references) bool; also give its curve."""
    answerable = truth.any(axis=1)
    judged = np.ones(len(truth), bool) if convention == "count" else answerable
    ids, truth_judged = retrieval.ids[judged], truth[judged]
    right = nearest_is_right(ids, truth_judged)
    curve = precision_recall(
        nearest_distances(retrieval)[judged], right, int(truth_judged.any(axis=1).sum())
    )
    low, high = wilson_interval(int(right.sum()), len(right))
    scores = Scores(
        convention=convention,
        queries=len(right),
        unanswerable=int(np.sum(~answerable)),
        right=int(right.sum()),
        s_p100=100 * float(right.mean()) if len(right) else 0.0,
        interval=(100 * low, 100 * high),
        recall_at={n: recall_at(ids, truth_judged, n) for n in RECALL_AT if n <= ids.shape[1]},
        auc_pr=curve.area,
        recall_at_full_precision=curve.recall_at_full_precision,
        extended_precision=curve.extended_precision,
        longest_stretch=longest_stretch(right),
    )
    return scores, curve


def nearest_is_right(ids: NDArray[np.int64], truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the nearest reference of each query is right, (queries,) bool."""
    if ids.shape[1] == 0:
        return np.zeros(len(ids), bool)
    return right_matches(ids, truth)[:, 0]


def nearest_distances(retrieval: Retrieval) -> NDArray[np.float64]:
    """The distance of each query to its nearest reference, (queries,); inf without one."""
    if retrieval.ids.shape[1] == 0:
        return np.full(len(retrieval.ids), np.inf)
    return np.where(retrieval.ids[:, 0] >= 0, retrieval.distances[:, 0], np.inf)


def longest_stretch(right: ArrayLike) -> int:
    """The longest run of queries in a row without a localisation: how long a robot is lost."""
    longest = run = 0
    for localised in np.asarray(right, bool).tolist():
        run = 0 if localised else run + 1
        longest = max(longest, run)
    return longest


def memory_efficiency(size_kib: float, s_p100: float) -> float | None:
    """eta_m = size in KiB / S_P100 (eq. 7 the right way up): lower is better, None at S_P100 0."""
    return size_kib / s_p100 if s_p100 else None
