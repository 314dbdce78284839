# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node's answers as plain facts, and what they are worth against the truth.

Nothing here knows ROS: an answer may come from /vpr/loop_closure, from a file or from a search
without any node, and is judged the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.ground_truth import same_place_by_position
from floppynet_vpr.datasets.traverses import Traverse
from floppynet_vpr.evaluation.measures import (
    Detections,
    count_detections,
    right_matches,
    wilson_interval,
)


@dataclass(frozen=True)
class FoundPlace:
    """A candidate as it was published; stamp in nanoseconds, distance 0 to 2, score 0 to 1."""

    place_id: int
    place: str
    stamp_ns: int
    distance: float
    score: float
    verified: bool = False


@dataclass(frozen=True)
class Answer:
    """What was said about one query: a LoopClosure message; `candidates` are nearest first.

    `arrived_s` is when the message came in, on a clock of the receiver's own.
    """

    query_id: int
    stamp_ns: int
    detected: bool
    threshold: float
    candidates: tuple[FoundPlace, ...]
    arrived_s: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """One query and what became of it.

    `match`: index of the nearest reference frame, None without an answer or a candidate; `off`: how
    far that is from the truth, in the traverses' unit.
    """

    query: int
    answer: Answer | None
    match: int | None
    off: float | None
    right: bool

    @property
    def distance(self) -> float | None:
        """Distance of the descriptors (eq. 6, 0 to 2) to the nearest place."""
        return (
            self.answer.candidates[0].distance if self.answer and self.match is not None else None
        )

    @property
    def detected(self) -> bool:
        """Whether a loop closure was announced."""
        return self.answer is not None and self.answer.detected


@dataclass(frozen=True)
class Trial:
    """All queries of one traverse, asked about another one; a match is right within `tolerance`."""

    queries: Traverse
    references: Traverse
    tolerance: float
    answers: Mapping[int, Answer]

    @cached_property
    def truth(self) -> NDArray[np.bool_]:
        """Which pairs show the same place, (queries, references) bool."""
        return same_place_by_position(
            self.queries.positions, self.references.positions, self.tolerance
        )

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of every query, in order."""
        return tuple(self.outcome(query, self.answers.get(query)) for query in range(len(self)))

    def outcome(self, query: int, answer: Answer | None) -> Outcome:
        """Judge one answer; a place is recognised by the stamp it was seen at."""
        match = None
        if answer is not None and answer.candidates:
            match = self._reference_of_stamp.get(answer.candidates[0].stamp_ns)
        if match is None:
            return Outcome(query, answer, None, None, False)
        off = abs(self.references.positions[match] - self.queries.positions[query])
        return Outcome(query, answer, match, off, bool(self.truth[query, match]))

    def __len__(self) -> int:
        return len(self.queries)

    @cached_property
    def _reference_of_stamp(self) -> dict[int, int]:
        return {stamp: index for index, stamp in enumerate(self.references.stamps_ns)}

    @cached_property
    def detections(self) -> Detections:
        """The loop closures announced, against those that are there."""
        return count_detections([o.detected for o in self.outcomes], self._matches, self.truth)

    @cached_property
    def right(self) -> int:
        """How many queries have a right nearest place."""
        return int(right_matches(self._matches, self.truth)[:, 0].sum())

    @property
    def s_p100(self) -> float:
        """100 x right / all queries."""
        return 100 * self.right / max(len(self), 1)

    @property
    def s_p100_interval(self) -> tuple[float, float]:
        """The 95 % interval of S_P100."""
        low, high = wilson_interval(self.right, len(self))
        return 100 * low, 100 * high

    @property
    def missing(self) -> list[int]:
        """The queries that got no answer."""
        return [o.query for o in self.outcomes if o.answer is None]

    @property
    def threshold(self) -> float | None:
        """The distance in force, of the last answer."""
        return self.answers[max(self.answers)].threshold if self.answers else None

    @property
    def rate_hz(self) -> float | None:
        """Answers per second, first to last."""
        arrived = sorted(answer.arrived_s for answer in self.answers.values())
        if len(arrived) < 2 or arrived[-1] <= arrived[0]:
            return None
        return (len(arrived) - 1) / (arrived[-1] - arrived[0])

    @cached_property
    def _matches(self) -> list[int]:
        return [-1 if o.match is None else o.match for o in self.outcomes]


def by_query(answers: Sequence[Answer], queries: Traverse) -> dict[int, Answer]:
    """Answers by the number of the query frame whose stamp they carry; the first of each counts."""
    index_of = {stamp: index for index, stamp in enumerate(queries.stamps_ns)}
    found: dict[int, Answer] = {}
    for answer in answers:
        if answer.stamp_ns in index_of:
            found.setdefault(index_of[answer.stamp_ns], answer)
    return found
