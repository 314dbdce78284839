# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison page: readable plots, telling pictures, and never too large."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.datasets.drives import open_drive
from floppynet_vpr.datasets.pairs import RoutePair
from floppynet_vpr.evaluation import comparison_report
from floppynet_vpr.evaluation.comparison_pictures import similarity_picture, telling_queries
from floppynet_vpr.evaluation.comparison_plots import (
    precision_recall_plot,
    retrieval_plot,
    size_plot,
)
from floppynet_vpr.evaluation.experiment import Result
from floppynet_vpr.evaluation.retrieval import Retrieval
from floppynet_vpr.evaluation.scores import score

QUERIES, REFERENCES = 12, 10


@pytest.fixture
def pair(tmp_path: Path) -> RoutePair:
    for name, count in (("query", QUERIES), ("reference", REFERENCES)):
        (tmp_path / name).mkdir()
        for number in range(count):
            image = np.full((48, 64, 3), 20 * number, np.uint8)
            assert cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    drives = open_drive(tmp_path / "query"), open_drive(tmp_path / "reference")
    truth = np.eye(QUERIES, REFERENCES, dtype=bool)
    return RoutePair("own", "A <b> & c", *drives, truth, "same number")


def result(
    pair: RoutePair, nearest: list[int], network: str = "net", size: float | None = 154.0
) -> Result:
    """Distances grow with the query's number, so query 0 is the surest."""
    ids = np.array(nearest)[:, None]
    distances = 0.1 + 0.05 * np.arange(QUERIES)[:, None]
    preview = np.full((QUERIES, REFERENCES), 1.0, np.float32)
    preview[np.arange(QUERIES), np.maximum(ids[:, 0], 0)] = 0.1
    found = Retrieval(ids, np.where(ids < 0, np.inf, distances), preview)
    scores, curve = score(found, pair.truth)
    return Result(pair, network, network, "pool5", "", scores, curve, found, size_kib=size)


# Queries 3 and 8 are wrong, 5 has no answer, 10 and 11 cannot be right.
NEAREST = [0, 1, 2, 7, 4, -1, 6, 7, 0, 9, 3, 3]


def test_telling_queries_are_the_surest_right_and_wrong_of_each_third(pair: RoutePair) -> None:
    assert telling_queries(result(pair, NEAREST)) == [0, 4, 9, 3, 8]


def test_the_matrix_has_queries_from_the_left_and_references_from_below(pair: RoutePair) -> None:
    picture = similarity_picture(result(pair, NEAREST))
    assert picture is not None and picture.shape == (REFERENCES, QUERIES, 3)
    bright = picture.astype(int).sum(axis=2)
    # Query 3 is most like reference 7, the third from the top.
    assert int(np.argmax(bright[:, 3])) == REFERENCES - 1 - 7


def test_right_wrong_and_missing_matches_are_told_apart(pair: RoutePair) -> None:
    plot = retrieval_plot(result(pair, NEAREST))
    assert plot.count("h0") == 7 and plot.count("m-2.4") == 4


def test_names_in_the_size_plot_do_not_overlap(pair: RoutePair) -> None:
    results = [result(pair, NEAREST, f"net{n}") for n in range(5)]
    plot = size_plot(results)
    heights = [
        float(part.split('y="')[1].split('"')[0])
        for part in plot.split('<text class="halo"')[1:]
        if "net" in part
    ]
    assert len(heights) == 5 and np.diff(sorted(heights)).min() >= 14.9


def test_an_empty_curve_is_no_line(pair: RoutePair) -> None:
    assert "polyline" not in precision_recall_plot([result(pair, [-1] * QUERIES)])


def test_names_are_escaped_and_queries_without_answers_do_no_harm(pair: RoutePair) -> None:
    page = comparison_report.comparison_report(
        [result(pair, [-1] * QUERIES, "a<b", None)], title="x & y"
    )
    assert "a&lt;b" in page and "A &lt;b&gt; &amp; c" in page and "x &amp; y" in page
    assert ">0.0</td>" in page


def test_what_makes_the_page_too_large_is_left_out(
    pair: RoutePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [result(pair, NEAREST, f"net{n}") for n in range(3)]
    whole = comparison_report.comparison_report(results, title="t")
    assert whole.count("data:image/jpeg") == 4 and "left out" not in whole.split("How it was")[0]
    monkeypatch.setattr(comparison_report, "_PAGE_BYTES", len(whole) - 2000)
    smaller = comparison_report.comparison_report(results, title="t")
    assert len(smaller) < len(whole) - 2000 and "Some plots are left out" in smaller
    assert smaller.count('<td class="n') == whole.count('<td class="n')
