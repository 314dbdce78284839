# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of sequences is the one its docstrings define."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.detection.bayes_filter import BayesFilter
from floppynet_vpr.detection.line_search import LineSearch
from floppynet_vpr.detection.sequences import (
    WINDOW,
    SequenceModel,
    log_odds,
    velocities,
    within_window,
)


def filter_by_definition(
    images: list[tuple[NDArray[np.float32], bool]],
) -> list[NDArray[np.float64]]:
    """The Bayes filter with a matrix of all transitions; states (velocity, place), then nowhere."""
    speeds = velocities().astype(float).tolist()
    places, kinds = len(images[0][0]), len(speeds)
    count = kinds * places
    moves = np.zeros((count + 1, count + 1))
    for was, place in np.ndindex(kinds, places):
        nearby = [other for other in (was - 1, was + 1) if 0 <= other < kinds]
        for now, likely in [(was, 0.9), *((other, 0.1 / len(nearby)) for other in nearby)]:
            low = int(np.floor(place + speeds[now]))
            part = place + speeds[now] - low
            for target, share in ((low, 1 - part), (low + 1, part)):
                inside = 0 <= target < places
                state = now * places + target if inside else count
                moves[state, was * places + place] += likely * share
    stays = moves[:count, :count].sum(0)
    moves[:count, :count] *= 0.98
    moves[:count, :count] += 0.02 * stays * 0.5 / count
    moves[count, :count] += 0.02 * stays * 0.5
    moves[:count, count] = 0.1 * 0.5 / count
    moves[count, count] = 1 - 0.1 * 0.5
    assert np.allclose(moves.sum(0), 1)
    prior = np.full(count + 1, 0.5 / count)
    prior[count] = 0.5
    posterior, beliefs = prior, []
    for index, (evidence, moved) in enumerate(images):
        if index and moved:
            prior = moves @ posterior
        posterior = prior * np.append(np.tile(np.exp(evidence.astype(float)), kinds), 1)
        posterior /= posterior.sum()
        beliefs.append(posterior[:count].reshape(kinds, places).sum(0))
    return beliefs


def line_by_definition(images: list[tuple[NDArray[np.float32], bool]]) -> NDArray[np.float64]:
    """The belief after the last image of at most 15, all of which moved on."""
    places = len(images[0][0])
    scores = np.full(places, -np.inf)
    for place in range(places):
        for velocity in velocities().astype(float).tolist():
            score = 0.0
            for age, (evidence, _) in enumerate(reversed(images)):
                then = place - int(np.rint(velocity * age))
                score += evidence[then] if 0 <= then < places else 0
            scores[place] = max(scores[place], score)
    return np.exp(scores) / (places + np.exp(scores).sum())


@st.composite
def drives(draw: st.DrawFn) -> list[tuple[NDArray[np.float32], bool]]:
    """Evidence of a few images, each with whether the camera moved on."""
    places = draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    moved = draw(st.lists(st.booleans(), min_size=1, max_size=7))
    return [(rng.uniform(-1.5, 3, places).astype(np.float32), move) for move in moved]


@settings(deadline=None)
@given(drives())
def test_the_filter_is_the_one_defined(images: list[tuple[NDArray[np.float32], bool]]) -> None:
    model = BayesFilter()
    for (evidence, moved), expected in zip(images, filter_by_definition(images), strict=True):
        assert np.allclose(model.update(evidence, moved), expected, atol=1e-5)


@settings(deadline=None)
@given(drives())
def test_the_line_search_is_the_one_defined(
    images: list[tuple[NDArray[np.float32], bool]],
) -> None:
    model = LineSearch()
    beliefs = [model.update(evidence, True) for evidence, _ in images]
    assert np.allclose(beliefs[-1], line_by_definition(images), atol=1e-5)


@pytest.mark.parametrize("model", [BayesFilter(), LineSearch()])
def test_while_the_camera_stands_still_an_image_replaces_the_one_before(
    model: SequenceModel,
) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.uniform(-1, 3, (2, 30)).astype(np.float32)
    model.update(first, True)
    once = model.update(second, False)
    assert np.array_equal(model.update(second, False), once)


@pytest.mark.parametrize("kind", [BayesFilter, LineSearch])
def test_a_map_may_grow_from_nothing_while_it_is_matched(kind: type[SequenceModel]) -> None:
    model = kind()
    for places in (0, 0, 1, 3, 40):
        belief = model.update(np.zeros(places, np.float32), True)
        assert len(belief) == places
        assert belief.sum() <= 1
    assert np.isfinite(belief).all()


@pytest.mark.parametrize("kind", [BayesFilter, LineSearch])
@pytest.mark.parametrize("velocity", [0.5, 1, 1.5, 3, -1, -2])
def test_a_drive_is_followed_at_its_velocity_and_direction(
    kind: type[SequenceModel], velocity: float
) -> None:
    model = kind()
    rng = np.random.default_rng(2)
    start = 20 if velocity > 0 else 180
    for image in range(25):
        here = start + velocity * image
        standing = rng.normal(0, 1, 200).astype(np.float32)
        standing[round(here)] += 5
        belief = model.update(log_odds(standing), True)
    assert abs(int(belief.argmax()) - here) <= 1
    assert within_window(belief, belief.argmax()[None])[0] > 0.8


@pytest.mark.parametrize("kind", [BayesFilter, LineSearch])
def test_nothing_is_believed_of_places_that_do_not_follow_each_other(
    kind: type[SequenceModel],
) -> None:
    model = kind()
    rng = np.random.default_rng(3)
    for _ in range(200):
        belief = model.update(log_odds(rng.normal(0, 1, 300).astype(np.float32)), True)
        assert within_window(belief, np.arange(len(belief))).max() < 0.9


def test_a_kidnapped_camera_is_found_again() -> None:
    model = BayesFilter()
    rng = np.random.default_rng(4)
    for image in range(60):
        here = image if image < 30 else 300 - image
        standing = rng.normal(0, 1, 400).astype(np.float32)
        standing[here] += 3
        belief = model.update(log_odds(standing), True)
    assert belief.argmax() == here


@given(st.integers(1, 40), st.integers(0, 1000))
def test_windows_add_up_neighbours(places: int, seed: int) -> None:
    belief = np.random.default_rng(seed).dirichlet(np.ones(places)).astype(np.float32)
    sums = [belief[max(0, i - WINDOW) : i + WINDOW + 1].sum() for i in range(places)]
    assert np.allclose(within_window(belief, np.arange(len(belief))), sums, atol=1e-6)
