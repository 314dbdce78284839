# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The judge: answers and the truth in, every figure out, whoever answered.

Some queries show a place that no reference shows. The paper divides S_P100 by all queries, so that
they count as wrong ("count"); many benchmarks judge only those that can be answered ("leave-out").
What is detected is always judged on all queries: where there is no place, silence is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from floppynet_vpr.evaluation.answers import Answers
from floppynet_vpr.evaluation.measures import (
    PrecisionRecallCurve,
    longest_stretch,
    precision_recall,
    recall_at,
    right_matches,
    runs,
    wilson_interval,
)

CONVENTIONS: Final = {
    "count": "queries whose place no reference shows count as wrong",
    "leave-out": "queries whose place no reference shows are left out",
}
RECALL_AT: Final = (1, 5, 10, 20)


@dataclass(frozen=True)
class Detections:
    """Loop closures detected among `queries` images; `revisits` of these show a known place.

    `right` are of the place that the image shows, `wrong` are not, `wrong_unseen` of these at
    images of places never seen. `delays` has for each run of revisits in a row the images from its
    first to the first that is rightly detected, None where none is. `unseen_m` are the metres
    driven along places never seen, None where positions are not known.
    """

    queries: int
    revisits: int
    right: int
    wrong: int
    wrong_unseen: int
    delays: tuple[int | None, ...]
    curve: PrecisionRecallCurve
    unseen_m: float | None = None

    @property
    def detected(self) -> int:
        """How many loop closures were detected."""
        return self.right + self.wrong

    @property
    def precision(self) -> float | None:
        """Share (0 to 1) of the detections that are right; None if nothing was detected."""
        return self.right / self.detected if self.detected else None

    @property
    def recall(self) -> float | None:
        """Share (0 to 1) of the revisits that were rightly detected; None if there are none."""
        return self.right / self.revisits if self.revisits else None

    @property
    def recall_at_full_precision(self) -> float | None:
        """Recall (0 to 1) of the best limit that accepts no wrong match; None without revisits."""
        return self.curve.recall_at_full_precision if self.revisits else None

    @property
    def wrong_per_1000_unseen(self) -> float | None:
        """False closures per 1,000 images of places never seen; None without such images."""
        unseen = self.queries - self.revisits
        return 1000 * self.wrong_unseen / unseen if unseen else None

    @property
    def wrong_per_km_unseen(self) -> float | None:
        """False closures per kilometre of places never seen; None where that is not known."""
        return 1000 * self.wrong_unseen / self.unseen_m if self.unseen_m else None

    @property
    def median_delay(self) -> float | None:
        """The median of the delays, in images; None where no run of revisits was detected."""
        known = [delay for delay in self.delays if delay is not None]
        return float(np.median(known)) if known else None


@dataclass(frozen=True)
class Judgement:
    """What answers are worth.

    `queries` were judged; `unanswerable` queries have no right reference (and are among the judged
    only by the convention "count"). Of the judged, `right` have a right best match; `recall_at` (0
    to 1) is by number of matches looked at, `longest_stretch` the longest run of judged queries in
    a row whose best match is wrong. `is_right` is that match by match, (all queries,) bool.
    `detections` is None where nothing detects.
    """

    convention: str
    queries: int
    unanswerable: int
    right: int
    recall_at: Mapping[int, float]
    longest_stretch: int
    curve: PrecisionRecallCurve
    is_right: NDArray[np.bool_]
    detections: Detections | None

    @property
    def s_p100(self) -> float:
        """100 x right / queries."""
        return 100 * self.right / self.queries if self.queries else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of S_P100."""
        low, high = wilson_interval(self.right, self.queries)
        return 100 * low, 100 * high


def judge(
    answers: Answers,
    truth: NDArray[np.bool_],
    convention: str = "count",
    driven_m: NDArray[np.float64] | None = None,
) -> Judgement:
    """Judge answers by the truth, (queries, references) bool.

    `driven_m`, (queries,), are the metres driven from the query before, where that is known.
    """
    answerable = np.asarray(truth.any(axis=1))
    judged = np.ones(len(truth), bool) if convention == "count" else answerable
    ids = answers.ids[judged]
    is_right = right_matches(answers.ids[:, 0], truth)[:, 0]
    right = is_right[judged]
    return Judgement(
        convention=convention,
        queries=len(right),
        unanswerable=int(np.sum(~answerable)),
        right=int(right.sum()),
        recall_at={
            n: recall_at(ids, truth[judged], n) for n in RECALL_AT if n <= answers.ids.shape[1]
        },
        longest_stretch=longest_stretch(right),
        curve=precision_recall(answers.sureness[judged], right, int(np.sum(answerable[judged]))),
        is_right=is_right,
        detections=None
        if answers.detected is None
        else _judge_detections(answers, answers.detected, is_right, answerable, driven_m),
    )


def _judge_detections(
    answers: Answers,
    detected: NDArray[np.bool_],
    is_right: NDArray[np.bool_],
    revisits: NDArray[np.bool_],
    driven_m: NDArray[np.float64] | None,
) -> Detections:
    found = detected & is_right
    return Detections(
        queries=len(detected),
        revisits=int(revisits.sum()),
        right=int(found.sum()),
        wrong=int(np.sum(detected & ~is_right)),
        wrong_unseen=int(np.sum(detected & ~revisits)),
        delays=delays(found, revisits),
        curve=precision_recall(answers.sureness, is_right, int(revisits.sum())),
        unseen_m=None if driven_m is None else float(driven_m[~revisits].sum()),
    )


def delays(found: ArrayLike, revisits: ArrayLike) -> tuple[int | None, ...]:
    """Images until each run of `revisits` is first `found`, both (queries,) bool; None: never."""
    flags = np.asarray(found, bool)
    waited = [np.flatnonzero(flags[first:end]) for first, end in runs(revisits)]
    return tuple(int(images[0]) if len(images) else None for images in waited)
