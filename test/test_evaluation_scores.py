# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Curves against scikit-learn, scores against cases worked by hand, search against the map."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import auc, precision_recall_curve

from floppynet_vpr.datasets.ground_truth import same_place_by_index
from floppynet_vpr.evaluation.precision_recall import precision_recall
from floppynet_vpr.evaluation.retrieval import Retrieval, retrieve, search_ms
from floppynet_vpr.evaluation.scores import (
    longest_stretch,
    memory_efficiency,
    nearest_distances,
    score,
)

# Few distinct distances, so that ties are common.
MATCHES = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 1.2]), st.booleans()), min_size=1, max_size=60
).filter(lambda matches: any(right for _, right in matches))


@given(MATCHES)
def test_curve_and_area_are_scikit_learns(matches: list[tuple[float, bool]]) -> None:
    distances, right = map(np.array, zip(*matches, strict=True))
    curve = precision_recall(distances, right, int(right.sum()))
    precision, recall, thresholds = precision_recall_curve(right, -distances)
    assert curve.thresholds == pytest.approx(-thresholds[::-1])
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
    curve = precision_recall(distances, right, found + missed)
    assert curve.precision == pytest.approx(precision[-2::-1])
    assert curve.recall == pytest.approx(recall[-2::-1] * found / (found + missed))
    assert curve.area == pytest.approx(auc(recall, precision) * found / (found + missed))


def test_a_curve_worked_by_hand() -> None:
    # Accepted one by one: right, right, wrong, right; a fifth query has no match, a sixth neither.
    curve = precision_recall([0.3, 0.1, 0.4, 0.2, np.inf], [False, True, True, True, True], 6)
    assert curve.thresholds.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert curve.precision == pytest.approx([1, 1, 2 / 3, 3 / 4])
    assert curve.recall == pytest.approx([1 / 6, 2 / 6, 2 / 6, 3 / 6])
    assert curve.recall_at_full_precision == pytest.approx(1 / 3)
    assert curve.extended_precision == pytest.approx((1 + 1 / 3) / 2)
    assert curve.area == pytest.approx(1 / 3 + 1 / 6 * (2 / 3 + 3 / 4) / 2)


def test_a_wrong_first_match_costs_full_precision_but_not_all_extended_precision() -> None:
    curve = precision_recall([0.1, 0.1, 0.2], [True, False, True], 2)
    assert curve.recall_at_full_precision == 0 and curve.extended_precision == pytest.approx(0.25)


def test_nothing_matched_gives_an_empty_curve() -> None:
    curve = precision_recall([np.inf], [False], 1)
    assert len(curve.thresholds) == 0
    assert (curve.area, curve.recall_at_full_precision, curve.extended_precision) == (0, 0, 0)


def found(nearest: list[int], distances: list[float] | None = None) -> Retrieval:
    apart = distances or [0.1 * (i + 1) for i in range(len(nearest))]
    return Retrieval(np.array(nearest)[:, None], np.array(apart)[:, None])


def test_the_two_conventions_for_queries_without_a_right_reference() -> None:
    # Four queries in step with four references, and two that show unknown places.
    truth = np.vstack([same_place_by_index(4, 4, 0), np.zeros((2, 4), bool)])
    answers = found([0, 1, 2, 0, 3, 3])
    counted, curve = score(answers, truth, "count")
    assert (counted.queries, counted.unanswerable, counted.right) == (6, 2, 3)
    assert counted.s_p100 == pytest.approx(50) and counted.longest_stretch == 3
    assert curve.recall[-1] == pytest.approx(3 / 4) and curve.precision[-1] == pytest.approx(3 / 6)
    left_out, curve = score(answers, truth, "leave-out")
    assert (left_out.queries, left_out.unanswerable, left_out.right) == (4, 2, 3)
    assert left_out.s_p100 == pytest.approx(75) and left_out.longest_stretch == 1
    assert curve.recall[-1] == pytest.approx(3 / 4) and curve.precision[-1] == pytest.approx(3 / 4)
    assert left_out.recall_at == {1: 0.75}


def test_a_query_without_an_answer_counts_as_wrong() -> None:
    scores, curve = score(found([0, -1, 2], [0.1, np.inf, 0.2]), same_place_by_index(3, 3, 0))
    assert scores.s_p100 == pytest.approx(200 / 3)
    assert curve.precision.tolist() == [1, 1] and scores.auc_pr == pytest.approx(2 / 3)


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
    result = retrieve(*rows, k=k)
    assert result.ids.shape == (queries, min(k, references))
    assert result.distances == pytest.approx(np.sort(expected, axis=1)[:, :k], abs=1e-7)
    assert result.preview == pytest.approx(expected, abs=1e-6)


def unit(rows: NDArray[np.generic]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms == 0, 1, norms))


def test_ties_go_to_the_lower_number() -> None:
    references = np.array([[0, 1], [2, 0], [1, 0], [1, 0]], np.int16)
    assert retrieve(np.array([[3, 0]]), references, 4).ids.tolist() == [[1, 2, 3, 0]]


def test_many_rows_go_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from floppynet_vpr.evaluation import retrieval

    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(1100, 40)), rng.normal(size=(900, 40))
    whole = retrieve(queries, references, 3)
    monkeypatch.setattr(retrieval, "_BLOCK_VALUES", 9000)
    parts = retrieve(queries, references, 3)
    assert np.array_equal(whole.ids, parts.ids) and parts.preview is not None
    assert parts.preview.shape == (400, 400) and search_ms(queries, references) > 0


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
    result = retrieve(*maps, k=5)
    assert np.array_equal(result.ids, answers.ids)
    assert result.distances == pytest.approx(answers.distances, abs=1e-5)
    assert nearest_distances(result) == pytest.approx(answers.distances[:, 0], abs=1e-5)
