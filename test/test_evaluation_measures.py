# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The measures, against cases worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.datasets.ground_truth import same_place_by_index, same_place_by_position
from floppynet_vpr.evaluation.measures import recall_at, runs, s_p100, wilson_interval

FIVE_IN_STEP = same_place_by_index(5, 5, tolerance=1)


def test_truth_by_index_is_a_band_around_the_diagonal() -> None:
    assert FIVE_IN_STEP.astype(int).tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1],
    ]


def test_truth_by_metres_includes_its_limit() -> None:
    truth = same_place_by_position([3.4, 10.0], [1.4, 5.4, 5.5, 8.0, 12.1], tolerance=2.0)
    assert truth.astype(int).tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 1, 0]]


def test_truth_in_the_plane_uses_straight_distance() -> None:
    assert same_place_by_position([[0, 0]], [[3, 4], [3, 3]], tolerance=4.5).tolist() == [
        [False, True]
    ]


def test_s_p100_counts_right_nearest_references() -> None:
    # Queries 0, 1 and 4 are right within one frame, 2 and 3 are not: 3 of 5.
    assert s_p100([[1], [1], [4], [0], [4]], FIVE_IN_STEP) == pytest.approx(60.0)


def test_a_query_without_answer_counts_as_wrong() -> None:
    assert s_p100([0, 1, 2, 3, -1], FIVE_IN_STEP) == pytest.approx(80.0)


def test_recall_at_n_looks_at_the_first_n() -> None:
    matches = [[4, 0, 1], [4, 4, 2], [0, 0, 0], [3, 0, 0], [0, 1, 2]]
    assert recall_at(matches, FIVE_IN_STEP, 1) == pytest.approx(1 / 5)
    assert recall_at(matches, FIVE_IN_STEP, 2) == pytest.approx(2 / 5)
    assert recall_at(matches, FIVE_IN_STEP, 3) == pytest.approx(3 / 5)


def test_runs_are_first_and_end_of_what_is_true_in_a_row() -> None:
    assert runs([1, 1, 0, 0, 1, 0, 1]) == [(0, 2), (4, 5), (6, 7)]
    assert runs([0, 0]) == [] and runs([]) == []


def test_wilson_interval_of_known_cases() -> None:
    # 159 of 200: (0.795 + 0.009604) / 1.019208 -+ 1.96 sqrt(0.00081488 + 0.0000240) / 1.019208
    assert wilson_interval(159, 200) == pytest.approx((0.7338, 0.8451), abs=2e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_contains_the_share(counts: tuple[int, int]) -> None:
    right, total = counts
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total + 1e-12 and right / total - 1e-12 <= high <= 1


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 12), st.data())
def test_recall_grows_with_n_and_is_s_p100_at_one(
    queries: int, references: int, tolerance: int, data: st.DataObject
) -> None:
    truth = same_place_by_index(queries, references, tolerance)
    row = st.lists(st.integers(-1, references - 1), min_size=4, max_size=4)
    matches = data.draw(st.lists(row, min_size=queries, max_size=queries))
    recalls = [recall_at(matches, truth, n) for n in (1, 2, 3, 4)]
    assert recalls == sorted(recalls)
    assert s_p100(matches, truth) == pytest.approx(100 * recalls[0])
