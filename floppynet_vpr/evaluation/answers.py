# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Answers as plain facts: from the node's recording, a detector run here, or a bare search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DISTANCE, SCORE = "distance", "score"


@dataclass(frozen=True)
class Match:
    """A reference that was found: its number (-1: none of the references), distance and score."""

    reference: int
    distance: float
    score: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What was said about one query; `matches` are best first.

    `sureness` is what ranks best matches, larger is surer: belief where sequences are matched, else
    the distance with its sign turned; -inf where the match was refused for another reason.
    `threshold` is the largest distance in force.
    """

    matches: tuple[Match, ...]
    sureness: float
    detected: bool
    threshold: float


@dataclass(frozen=True)
class Answers:
    """What was said about all queries of a traverse, in order.

    `ids` is (queries, k) int64, best first, -1 where there is none; `distances` is (queries, k)
    float64, Euclidean between descriptors (eq. 6, 0 to 2), inf where there is none. `sureness` of
    the best match is (queries,) float64, -inf where there is none. The others are (queries,) and
    None where nothing detects: `detected` bool, `scores` (0 to 1) and `thresholds` float64, NaN
    where there are none. `missing` are the queries that got no answer, and `ranked_by` is what
    sureness is: "distance" (with its sign turned), "belief" or "score".
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    sureness: NDArray[np.float64]
    detected: NDArray[np.bool_] | None = None
    scores: NDArray[np.float64] | None = None
    thresholds: NDArray[np.float64] | None = None
    missing: tuple[int, ...] = ()
    ranked_by: str = DISTANCE

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nearest(self) -> NDArray[np.float64]:
        """The distance of each query to its best match, (queries,); inf without one."""
        return np.asarray(self.distances[:, 0])


def from_search(ids: NDArray[np.int64], distances: NDArray[np.float64]) -> Answers:
    """Answers of a bare search, (queries, k) each, nearest first: nothing is detected."""
    if not ids.shape[1]:
        ids, distances = np.full((len(ids), 1), -1), np.full((len(ids), 1), np.inf)
    return Answers(ids, distances, -distances[:, 0])


def from_detector(answers: Sequence[Answer | None], ranked_by: str) -> Answers:
    """Put the answers to all queries together; None: there was none."""
    width = max((len(answer.matches) for answer in answers if answer), default=0)
    shape = (len(answers), max(width, 1))
    ids, distances = np.full(shape, -1, np.int64), np.full(shape, np.inf)
    scores, thresholds, sureness = np.full((3, len(answers)), np.nan)
    sureness[:] = -np.inf
    detected = np.zeros(len(answers), bool)
    for row, answer in enumerate(answers):
        if answer is None:
            continue
        detected[row], thresholds[row] = answer.detected, answer.threshold
        for rank, match in enumerate(answer.matches):
            ids[row, rank], distances[row, rank] = match.reference, match.distance
        if answer.matches:
            sureness[row], scores[row] = answer.sureness, answer.matches[0].score
    missing = tuple(row for row, answer in enumerate(answers) if answer is None)
    return Answers(ids, distances, sureness, detected, scores, thresholds, missing, ranked_by)
