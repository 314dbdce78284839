# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The page of an evaluation: readable plots, telling pictures, all figures, and never too large."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.datasets.traverse import open_traverse
from floppynet_vpr.datasets.traverse_pairs import TraversePair
from floppynet_vpr.evaluation import report
from floppynet_vpr.evaluation.answers import Answer, Match, from_detector, from_search
from floppynet_vpr.evaluation.judgement import judge
from floppynet_vpr.evaluation.pictures import (
    encoded,
    match_figure,
    matrix_figure,
    offset_text,
    telling_queries,
)
from floppynet_vpr.evaluation.plots import (
    ScoreBin,
    match_plot,
    precision_recall_plot,
    score_bins,
    size_plot,
)
from floppynet_vpr.evaluation.report import html_report
from floppynet_vpr.evaluation.results import Result

QUERIES, REFERENCES = 12, 10

# Queries 3 and 8 are wrong, 5 has no answer, 10 and 11 cannot be right.
NEAREST = [0, 1, 2, 7, 4, -1, 6, 7, 0, 9, 3, 3]


@pytest.fixture
def pair(tmp_path: Path) -> TraversePair:
    for name, count in (("query", QUERIES), ("reference", REFERENCES)):
        (tmp_path / name).mkdir()
        for number in range(count):
            image = np.full((48, 64, 3), 20 * number, np.uint8)
            assert cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    traverses = open_traverse(tmp_path / "query"), open_traverse(tmp_path / "reference")
    truth = np.eye(QUERIES, REFERENCES, dtype=bool)
    return TraversePair("own", "A <b> & c", *traverses, truth, "same number")


def searched(
    pair: TraversePair, nearest: list[int], network: str = "net", size: float | None = 154.0
) -> Result:
    """Distances grow with the query's number, so query 0 is the surest."""
    ids = np.array(nearest)[:, None]
    distances = 0.1 + 0.05 * np.arange(QUERIES)[:, None]
    answers = from_search(ids, np.where(ids < 0, np.inf, distances))
    matrix = np.full((QUERIES, REFERENCES), 1.0, np.float32)
    matrix[np.arange(QUERIES), np.maximum(ids[:, 0], 0)] = 0.1
    judged = judge(answers, pair.truth)
    return Result(pair, network, network, "pool5", "", answers, judged, matrix, size_kib=size)


def answered(pair: TraversePair, scores: list[float], nearest: list[int]) -> Result:
    """A node's answers; what has a score above 0.5 is detected."""
    answers = from_detector(
        [
            None if match < 0 else Answer((Match(match, 0.4, score),), score, score > 0.5, 0.6)
            for match, score in zip(nearest, scores, strict=True)
        ],
        "score",
    )
    judged = judge(answers, pair.truth)
    return Result(pair, "node", "the node", "", "recorded", answers, judged, facts={"Map": "3 < 4"})


def test_telling_queries_are_the_surest_right_and_wrong_of_each_part(pair: TraversePair) -> None:
    assert telling_queries(searched(pair, NEAREST), right=3, wrong=2) == [0, 3, 4, 8, 9]


def test_the_picture_frames_right_matches_green_and_wrong_ones_red(pair: TraversePair) -> None:
    figure = match_figure(searched(pair, NEAREST), title="$x$ & y")
    assert figure is not None
    bgr = cv2.imdecode(np.frombuffer(encoded(figure, "png"), np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    for colour in ((74, 135, 22), (43, 49, 200)):
        assert np.all(bgr == colour, axis=2).sum() > 500
    assert match_figure(searched(pair, [-1] * QUERIES)) is None


def test_the_matrix_has_queries_from_the_left_and_references_from_below(
    pair: TraversePair,
) -> None:
    figure = matrix_figure(searched(pair, NEAREST))
    assert figure is not None
    (image,) = figure.axes[0].images
    assert image.origin == "lower" and image.get_array().shape == (REFERENCES, QUERIES)
    assert int(np.argmin(image.get_array()[:, 3])) == 7


def test_right_wrong_and_missing_matches_are_told_apart(pair: TraversePair) -> None:
    plot = match_plot(searched(pair, NEAREST))
    right = re.findall(r'<use [^>]*style="fill: var\(--right\)', plot)
    wrong = re.findall(r"<use [^>]*stroke: var\(--wrong\)", plot)
    assert (len(right), len(wrong)) == (7, 4)


def test_plots_follow_the_page_into_the_dark(pair: TraversePair) -> None:
    plot = size_plot([searched(pair, NEAREST, f"net{n}", 100.0 + n) for n in range(5)])
    assert all(f"net{n} pool5" in plot for n in range(5))
    assert "var(--ink)" in plot and "var(--s4)" in plot
    assert not set(re.findall(r"#[0-9a-f]{6}\b", plot)) - {"#000000", "#ffffff"}


def test_an_empty_curve_is_no_line(pair: TraversePair) -> None:
    assert "var(--s0)" not in precision_recall_plot([searched(pair, [-1] * QUERIES)])


def test_scores_are_compared_with_the_share_of_right_matches(pair: TraversePair) -> None:
    """Forty matches of rising score: of the ten lowest none is right, of the next ten five."""
    right = [False] * 10 + [True, False] * 5 + [True] * 20
    many = replace(pair, truth=np.eye(40, dtype=bool))
    nearest = [i if right[i] else (i + 1) % 40 for i in range(40)]
    bins = score_bins(answered(many, [i / 40 for i in range(40)], nearest))
    assert [known.right for known in bins] == [0.0, 0.5, 1.0, 1.0]
    assert bins[0] == ScoreBin(pytest.approx(4.5 / 40), 0.0, 10)
    assert score_bins(searched(pair, NEAREST)) == []


def test_offsets_are_told_in_frames_or_metres(pair: TraversePair) -> None:
    in_step = replace(
        pair,
        query_at=np.arange(QUERIES, dtype=float)[:, None],
        reference_at=np.arange(REFERENCES, dtype=float)[:, None],
    )
    assert offset_text(in_step.off(3, 7), "frames") == "4 frames off"
    assert offset_text(pair.off(3, 4), pair.unit) == "1 frame off"
    assert offset_text(2.34, "m") == "2.3 m off"
    assert pair.off(11, 3) is None and offset_text(None, "m") == "a place never seen"


class Links(HTMLParser):
    """Collects everything a browser would load, and whether all tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = ("src", "href", "data", "srcset", "xlink:href")
        links = [value or "" for name, value in attrs if name in wanted]
        self.links += [link for link in links if not link.startswith("#")]
        self.links += ["script"] if tag == "script" else []
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "img", "br"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_is_small(pair: TraversePair) -> None:
    text = html_report([searched(pair, NEAREST), searched(pair, NEAREST, "other", 20)], title="t")
    links = Links()
    links.feed(text)
    assert len(text.encode()) < 3_000_000 and links.open == []
    assert links.links and all(link.startswith("data:image/") for link in links.links)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "prefers-color-scheme: dark" in text


def test_names_are_escaped_and_queries_without_answers_do_no_harm(pair: TraversePair) -> None:
    page = html_report([searched(pair, [-1] * QUERIES, "a<b", None)], title="x & y")
    assert "a&lt;b" in page and "A &lt;b&gt; &amp; c" in page and "x &amp; y" in page
    assert ">0.0</td>" in page


def test_one_result_has_its_headline_in_tiles_and_all_its_queries(pair: TraversePair) -> None:
    scores = [0.9, 0.9, 0.4, 0.9, 0.9, 0.0, 0.9, 0.9, 0.2, 0.9, 0.8, 0.1]
    text = html_report([answered(pair, scores, NEAREST)], title="Pairs")
    # Right are 7 of 12; 8 are detected, 6 of them rightly; 10 could be.
    for part in (">58.3<", ">75.0<small> %", ">60.0<small> %", "6 right of 8", "6 of 10"):
        assert part in text
    assert "1 of 12 queries got no answer (5)" in text and "no answer</td>" in text
    # Queries 10 and 11 show places never seen, and 10 is detected.
    assert ">500.0<" in text and "(1 of 2)" in text
    assert text.count('<tr><td class="n">') == QUERIES and "3 &lt; 4" in text


def test_what_makes_the_page_too_large_is_left_out(
    pair: TraversePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [searched(pair, NEAREST, f"net{n}") for n in range(3)]
    picture = match_figure(results[0])
    assert picture is not None
    pictures = {pair.name: picture}
    whole = html_report(results, title="t", pictures=pictures)
    assert whole.count("data:image/jpeg") == 4 and "left out" not in whole.split("How it was")[0]
    monkeypatch.setattr(report, "_PAGE_BYTES", len(whole) - 5000)
    smaller = html_report(results, title="t", pictures=pictures)
    assert len(smaller) < len(whole) - 5000 and "Some plots are left out" in smaller
    assert smaller.split("</table>")[0] == whole.split("</table>")[0]
