# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Curves against scikit-learn, judgements against cases worked by hand, search against the map."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import auc, precision_recall_curve

from floppynet_vpr.datasets.ground_truth import same_place_by_index
from floppynet_vpr.evaluation.answers import Answer, Answers, Match, from_detector, from_search
from floppynet_vpr.evaluation.judgement import Detections, delays, judge
from floppynet_vpr.evaluation.measures import (
    longest_stretch,
    memory_efficiency,
    precision_recall,
)
from floppynet_vpr.evaluation.retrieval import retrieve, search_ms, thinned_distances

# Few distinct distances, so that ties are common.
MATCHES = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 1.2]), st.booleans()), min_size=1, max_size=60
).filter(lambda matches: any(right for _, right in matches))


@given(MATCHES)
def test_curve_and_area_are_scikit_learns(matches: list[tuple[float, bool]]) -> None:
    distances, right = map(np.array, zip(*matches, strict=True))
    curve = precision_recall(-distances, right, int(right.sum()))
    precision, recall, thresholds = precision_recall_curve(right, -distances)
    assert curve.thresholds == pytest.approx(thresholds[::-1])
    assert curve.precision == pytest.approx(precision[-2::-1])
    assert curve.recall == pytest.approx(recall[-2::-1])
    assert curve.area == pytest.approx(auc(recall, precision))


@given(MATCHES, st.integers(0, 40))
def test_queries_missed_by_every_threshold_lower_recall_only(
    matches: list[tuple[float, bool]], missed: int
) -> None:
    distances, right = map(np.array, zip(*matches, strict=True))
    found = int(right.sum())
    precision, recall, _ = precision_recall_curve(right, -distances)
    curve = precision_recall(-distances, right, found + missed)
    assert curve.precision == pytest.approx(precision[-2::-1])
    assert curve.recall == pytest.approx(recall[-2::-1] * found / (found + missed))
    assert curve.area == pytest.approx(auc(recall, precision) * found / (found + missed))


def test_a_curve_worked_by_hand() -> None:
    # Accepted one by one: right, right, wrong, right; a fifth query has no match, a sixth neither.
    curve = precision_recall([0.7, 0.9, 0.6, 0.8, -np.inf], [False, True, True, True, True], 6)
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.precision == pytest.approx([1, 1, 2 / 3, 3 / 4])
    assert curve.recall == pytest.approx([1 / 6, 2 / 6, 2 / 6, 3 / 6])
    assert curve.recall_at_full_precision == pytest.approx(1 / 3)
    assert curve.extended_precision == pytest.approx((1 + 1 / 3) / 2)
    assert curve.area == pytest.approx(1 / 3 + 1 / 6 * (2 / 3 + 3 / 4) / 2)


def test_a_wrong_first_match_costs_full_precision_but_not_all_extended_precision() -> None:
    curve = precision_recall([0.9, 0.9, 0.8], [True, False, True], 2)
    assert curve.recall_at_full_precision == 0 and curve.extended_precision == pytest.approx(0.25)


def test_nothing_matched_gives_an_empty_curve() -> None:
    curve = precision_recall([-np.inf], [False], 1)
    assert len(curve.thresholds) == 0
    assert (curve.area, curve.recall_at_full_precision, curve.extended_precision) == (0, 0, 0)


def found(nearest: list[int], distances: list[float] | None = None) -> Answers:
    ids = np.array(nearest)[:, None]
    apart = np.linspace(0.1, 0.9, len(ids)) if distances is None else np.array(distances)
    return from_search(ids, apart[:, None])


def test_the_two_conventions_for_queries_without_a_right_reference() -> None:
    # Four queries in step with four references, and two that show unknown places.
    truth = np.vstack([same_place_by_index(4, 4, 0), np.zeros((2, 4), bool)])
    answers = found([0, 1, 2, 0, 3, 3])
    counted = judge(answers, truth, "count")
    assert (counted.queries, counted.unanswerable, counted.right) == (6, 2, 3)
    assert counted.s_p100 == pytest.approx(50) and counted.longest_stretch == 3
    assert counted.curve.recall[-1] == pytest.approx(3 / 4)
    assert counted.curve.precision[-1] == pytest.approx(3 / 6)
    left_out = judge(answers, truth, "leave-out")
    assert (left_out.queries, left_out.unanswerable, left_out.right) == (4, 2, 3)
    assert left_out.s_p100 == pytest.approx(75) and left_out.longest_stretch == 1
    assert left_out.curve.recall[-1] == pytest.approx(3 / 4)
    assert left_out.curve.precision[-1] == pytest.approx(3 / 4)
    assert left_out.recall_at == {1: 0.75} and left_out.detections is None


def test_a_query_without_an_answer_counts_as_wrong() -> None:
    judged = judge(found([0, -1, 2], [0.1, np.inf, 0.2]), same_place_by_index(3, 3, 0))
    assert judged.s_p100 == pytest.approx(200 / 3)
    assert judged.curve.precision.tolist() == [1, 1]
    assert judged.curve.area == pytest.approx(2 / 3)


def said(*answers: tuple[int, float, bool] | None) -> Answers:
    """Reference, sureness, detected of each query; None: no answer."""
    return from_detector(
        [
            None if told is None else Answer((Match(told[0], 0.5, 0.7),), told[1], told[2], 0.6)
            for told in answers
        ],
        "belief",
    )


def detections(
    answers: Answers, truth: list[list[int]], driven_m: list[float] | None = None
) -> Detections:
    driven = None if driven_m is None else np.array(driven_m)
    judged = judge(answers, np.array(truth, bool), "leave-out", driven)
    assert judged.detections is not None
    return judged.detections


def test_detections_are_right_wrong_or_missed() -> None:
    # Query 0: detected and right. 1: detected and wrong. 2: right but not detected. 3: no answer.
    # Query 4 shows a place that no reference shows, and is detected.
    truth = [[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]]
    answers = said((0, 0.95, True), (1, 0.92, True), (1, 0.8, False), None, (0, 0.99, True))
    judged = detections(answers, truth)
    assert (judged.queries, judged.revisits, judged.detected) == (5, 4, 3)
    assert (judged.right, judged.wrong, judged.wrong_unseen) == (1, 2, 1)
    assert judged.precision == pytest.approx(1 / 3) and judged.recall == pytest.approx(1 / 4)
    assert answers.missing == (3,)


def test_recall_at_full_precision_is_ranked_by_sureness_and_knows_unseen_places() -> None:
    truth = [[1], [1], [1], [1], [0]]
    answers = [(0, 0.9, True), (0, 0.8, True), (0, 0.6, False), (0, 0.5, False)]
    assert detections(said(*answers, (0, 0.7, False)), truth).recall_at_full_precision == 0.5
    assert detections(said(*answers, (0, 0.1, False)), truth).recall_at_full_precision == 1.0
    assert detections(said(*answers, (0, 0.95, True)), truth).recall_at_full_precision == 0.0
    # What geometry refused is accepted at no limit.
    refused = said(*answers, (0, -np.inf, False))
    assert detections(refused, truth).recall_at_full_precision == 1.0


def test_the_delay_is_counted_from_the_first_image_of_each_run_of_revisits() -> None:
    revisits = [0, 1, 1, 1, 0, 1, 1, 0, 1]
    found_at = [0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert delays(found_at, revisits) == (2, None, 0)
    truth = [[flag] for flag in revisits]
    judged = detections(said(*((0, 0.5, bool(flag)) for flag in found_at)), truth)
    assert judged.delays == (2, None, 0) and judged.median_delay == 1.0


def test_false_closures_are_counted_per_1000_images_and_per_km_of_unseen_places() -> None:
    # Four images of unseen places, 5 m on from the one before each, and one known place.
    truth = [[0, 0]] * 4 + [[1, 0]]
    answers = said((0, 0.9, True), (1, 0.2, False), (1, 0.2, False), (1, 0.3, False), (1, 1, True))
    judged = detections(answers, truth, [0.0, 5.0, 5.0, 5.0, 100.0])
    assert judged.wrong == 2 and judged.wrong_per_1000_unseen == pytest.approx(250)
    assert judged.wrong_per_km_unseen == pytest.approx(1 / 0.015)
    assert detections(answers, truth).wrong_per_km_unseen is None


def test_what_is_not_defined_is_none() -> None:
    silent = detections(said((0, 0.1, False)), [[1]])
    assert silent.precision is None and silent.wrong_per_1000_unseen is None
    assert silent.median_delay is None
    nowhere = detections(said((0, 0.1, True)), [[0]])
    assert nowhere.recall is None and nowhere.recall_at_full_precision is None
    assert nowhere.wrong_per_1000_unseen == 1000 and nowhere.delays == ()


def test_the_longest_stretch_is_counted_in_queries() -> None:
    assert longest_stretch([1, 0, 0, 1, 0, 0, 0, 1, 0]) == 3
    assert longest_stretch([1, 1]) == 0 and longest_stretch([]) == 0 and longest_stretch([0]) == 1


def test_memory_efficiency_is_that_of_table_6() -> None:
    # FloppyNet: 154 KiB and 58.2; Baseline: 14648 KiB and 62.
    assert memory_efficiency(154, 58.2) == pytest.approx(2.65, abs=0.005)
    assert memory_efficiency(14648, 62) == pytest.approx(236.3, abs=0.05)
    assert memory_efficiency(154, 0) is None


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 7), st.integers(1, 15), st.integers(0))
def test_search_agrees_with_all_distances(
    queries: int, references: int, values: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.integers(-3, 4, (n, values)) for n in (queries, references)]
    expected = np.linalg.norm(unit(rows[0])[:, None] - unit(rows[1])[None], axis=2)
    ids, distances = retrieve(*rows, k=k)
    assert ids.shape == (queries, min(k, references))
    assert distances == pytest.approx(np.sort(expected, axis=1)[:, :k], abs=1e-7)
    assert thinned_distances(*rows) == pytest.approx(expected, abs=1e-6)


def unit(rows: NDArray[np.generic]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms == 0, 1, norms))


def test_ties_go_to_the_lower_number() -> None:
    references = np.array([[0, 1], [2, 0], [1, 0], [1, 0]], np.int16)
    assert retrieve(np.array([[3, 0]]), references, 4)[0].tolist() == [[1, 2, 3, 0]]


def test_many_rows_go_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from floppynet_vpr.evaluation import retrieval

    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(1100, 40)), rng.normal(size=(900, 40))
    whole = retrieve(queries, references, 3)
    monkeypatch.setattr(retrieval, "_BLOCK_VALUES", 9000)
    parts = retrieve(queries, references, 3)
    assert np.array_equal(whole[0], parts[0])
    assert thinned_distances(queries, references).shape == (400, 400)
    assert search_ms(queries, references) > 0


def test_search_finds_what_the_map_finds(data_dir: Path) -> None:
    from floppynet_vpr.datasets.folder import ImageFolder
    from floppynet_vpr.extraction import create_extractor, describe_frames
    from floppynet_vpr.imaging.network_input import network_input
    from floppynet_vpr.mapping import build_map

    extractor = create_extractor()
    references = ImageFolder(data_dir / "gardens_point" / "day_right", every=5)
    query = list(ImageFolder(data_dir / "gardens_point" / "day_left", every=7))
    described = describe_frames(references.pending(), [extractor])
    known = build_map(described, extractor.weights, storage="float32")
    answers = known.search(np.stack([extractor.describe(frame.rgb) for frame in query]), 5)
    maps = [
        np.stack([extractor.pool5(network_input(f.rgb)).ravel() for f in frames])
        for frames in (query, references)
    ]
    ids, distances = retrieve(*maps, k=5)
    assert np.array_equal(ids, answers.indices)
    assert distances == pytest.approx(answers.distances, abs=1e-5)
