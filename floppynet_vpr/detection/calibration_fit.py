# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Learns from matches known to be right or wrong how far a match can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.mapping import Calibration

_ENOUGH_FOR_STEPS = 1000
_LEVELS = 33
_EDGE = 1e-4
_LEAST = {"belief": 0.5, "distinctness": 1.5, "distance": 0.0}


def calibrate(
    mode: str, measures: ArrayLike, right: ArrayLike, precision: float, measure: str
) -> Calibration:
    """Fit the share of right matches over a measure, and draw the line for a wanted precision.

    The curve is logistic, in the measure or, of a belief, in its log-odds; with 1,000 matches and
    more it is isotonic, which can have any shape that only rises (or falls). The limit is the one
    that accepts most among those at which, of n accepted matches, r are right and (r + 1) / (n + 2)
    >= precision, Laplace's estimate of the precision to come. A belief must be 1/2 at least and
    distinctness 1.5, which 1 in 10 images reach that show no place of the map. The curve over
    beliefs is fitted as if a match of no belief had also been wrong and one of full belief right: a
    drive that never leaves the map says nothing of places that are not in it.

    `measures`, (n,), are what the best match of each query was judged by (`Detection.measure`), of
    the kind `measure`; `right`, (n,) bool, whether it was right. Raises VprError where there are no
    matches, or no limit gives the precision.
    """
    values, truth = np.asarray(measures, np.float64), np.asarray(right, bool)
    if not len(values):
        raise VprError("there is no match to learn from")
    limit, accepted = _limit(values, truth, precision, measure)
    levels, shares = _curve(values, truth, measure)
    return Calibration(
        mode,
        tuple(levels.tolist()),
        tuple(shares.tolist()),
        limit,
        precision,
        len(values),
        int(accepted.sum()),
        int(truth[accepted].sum()),
    )


def _limit(
    values: NDArray[np.float64], truth: NDArray[np.bool_], precision: float, measure: str
) -> tuple[float, NDArray[np.bool_]]:
    """Find the most generous limit that keeps to the precision, and which matches it accepts."""
    larger_is_better = measure != "distance"
    order = np.argsort(-values if larger_is_better else values, kind="stable")
    ordered = values[order]
    accepted = np.arange(1, len(values) + 1)
    expected = (np.cumsum(truth[order]) + 1) / (accepted + 2)
    last_of_equals = np.append(ordered[1:] != ordered[:-1], True)
    possible = last_of_equals & (ordered >= _LEAST[measure])
    good = np.flatnonzero(possible & (expected >= precision))
    if not len(good):
        shown = expected[possible].max(initial=0)
        raise VprError(
            f"no limit is known to give a precision of {precision:g}: the best that these "
            f"{len(values)} queries show is {shown:.3f}. Ask for less, or label more queries"
        )
    limit = float(ordered[good[-1]])
    return limit, values >= limit if larger_is_better else values <= limit


def _curve(
    values: NDArray[np.float64], truth: NDArray[np.bool_], measure: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels of the measure, ascending, and the share of right matches at each."""
    if measure == "belief":
        values, truth = np.append(values, (0.0, 1.0)), np.append(truth, (False, True))
    elif truth.all() or not truth.any():
        return values[:1], np.array([(truth.sum() + 1) / (len(truth) + 2)])
    if len(values) >= _ENOUGH_FOR_STEPS:
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(
            y_min=0, y_max=1, increasing=measure != "distance", out_of_bounds="clip"
        ).fit(values, truth)
        levels, first = np.unique(steps.X_thresholds_, return_index=True)
        return levels, steps.y_thresholds_[first]
    from sklearn.linear_model import LogisticRegression

    feature = _log_odds(values) if measure == "belief" else values
    centre, scale = feature.mean(), max(float(feature.std()), 1e-9)
    model = LogisticRegression().fit(((feature - centre) / scale)[:, None], truth)
    grid = np.linspace(feature.min(), feature.max(), _LEVELS)
    shares = model.predict_proba(((grid - centre) / scale)[:, None])[:, 1]
    levels, first = np.unique(_belief(grid) if measure == "belief" else grid, return_index=True)
    return levels, shares[first]


def _log_odds(beliefs: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(beliefs, _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside))


def _belief(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))
