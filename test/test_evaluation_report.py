# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Answers are judged by their stamps; picture and page show all of it and stand alone."""

import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from floppynet_vpr.datasets.traverses import Traverse
from floppynet_vpr.evaluation.answers import Answer, FoundPlace, Trial, by_query
from floppynet_vpr.evaluation.figures import (
    MatchPair,
    choose_pairs,
    describe_pair,
    encode_jpeg,
    encode_png,
    match_picture,
)
from floppynet_vpr.evaluation.plots import ScoreBin, score_bins, ticks
from floppynet_vpr.evaluation.report import html_report
from floppynet_vpr.evaluation.trial_files import summary_lines, trial_content

QUERIES = Traverse("evening", ("a", "b", "<c>", "d"), (10, 20, 30, 40), (0.5, 3.0, 5.0, 7.0), "m")
PLACES = Traverse("noon", ("p", "q", "r"), (1, 2, 3), (0.0, 3.0, 9.0), "m")


def answer(query: int, place: int, distance: float, arrived_s: float = 0.0) -> Answer:
    found = FoundPlace(place, "", PLACES.stamps_ns[place], distance, 0.5)
    stamp = QUERIES.stamps_ns[query]
    return Answer(query, stamp, distance <= 0.7, 0.7, (found,), arrived_s)


# Query 0 right and detected, 1 right but not detected, 2 wrong (4 m off), 3 unanswered.
TRIAL = Trial(
    QUERIES,
    PLACES,
    2.0,
    {0: answer(0, 0, 0.6, 1.0), 1: answer(1, 1, 0.8, 1.5), 2: answer(2, 2, 0.65, 2.0)},
)


def test_scores_are_compared_with_the_share_of_right_matches() -> None:
    """Forty matches of rising score: of the ten lowest none is right, of the next ten five."""
    names, stamps = tuple(str(i) for i in range(40)), tuple(range(1, 41))
    drive = Traverse("drive", names, stamps, tuple(10.0 * i for i in range(40)), "m")
    right = [False] * 10 + [True, False] * 5 + [True] * 20
    answers = {}
    for i in range(40):
        place = i if right[i] else (i + 1) % 40
        found = FoundPlace(place, "", stamps[place], 0.5, i / 40)
        answers[i] = Answer(i, stamps[i], True, 0.7, (found,), float(i))
    bins = score_bins(Trial(drive, drive, 2.0, answers))
    assert [known.right for known in bins] == [0.0, 0.5, 1.0, 1.0]
    assert bins[0] == ScoreBin(pytest.approx(4.5 / 40), 0.0, 10)
    assert score_bins(TRIAL) == []


def noise(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_outcomes_tell_match_offset_and_verdict() -> None:
    facts = [(o.match, o.off, o.right, o.detected) for o in TRIAL.outcomes]
    assert facts == [
        (0, 0.5, True, True),
        (1, 0.0, True, False),
        (2, 4.0, False, True),
        (None, None, False, False),
    ]


def test_totals_follow_from_the_outcomes() -> None:
    assert TRIAL.s_p100 == 50.0 and TRIAL.missing == [3] and TRIAL.threshold == 0.7
    # Every query has a place within 2 m, so all but query 0 were missed: query 2 by a wrong one.
    found = TRIAL.detections
    assert (found.right, found.wrong, found.missed) == (1, 1, 3)
    assert TRIAL.rate_hz == pytest.approx(2.0)


def test_answers_belong_to_the_query_whose_stamp_they_carry() -> None:
    first, again, foreign = answer(1, 1, 0.5), answer(1, 2, 0.4), Answer(9, 99, False, 0.7, ())
    assert by_query([foreign, first, again], QUERIES) == {1: first}


def test_an_answer_without_candidates_or_of_an_unknown_place_is_wrong() -> None:
    unknown = Answer(0, 10, True, 0.7, (FoundPlace(0, "", 777, 0.1, 1.0),))
    for given in (unknown, Answer(0, 10, False, 0.7, ())):
        outcome = TRIAL.outcome(0, given)
        assert outcome.match is None and outcome.distance is None and not outcome.right


def test_frames_are_named_in_frames() -> None:
    lines = summary_lines(
        Trial(Traverse("q", ("a",), (1,), (0.0,), "frames"), PLACES, 1.0, {}), None
    )
    assert lines[0].endswith("0 of 1 queries") and lines[1].endswith("within 1 frame")


def test_content_is_plain_json_with_every_message() -> None:
    content = json.loads(json.dumps(trial_content(TRIAL, (4.0, 9.0), {"backend": "packed"})))
    assert content["summary"]["s_p100"] == 50.0 and content["summary"]["missing"] == [3]
    assert content["summary"]["latency_ms"] == {"p50": 4.0, "p99": 9.0}
    assert content["queries"][0]["loop_closure"]["candidates"][0]["distance"] == 0.6
    assert content["queries"][3]["loop_closure"] is None


def test_chosen_pairs_are_spread_and_show_wrong_ones() -> None:
    count = 40
    queries = Traverse(
        "q", ("x",) * count, tuple(range(count)), tuple(map(float, range(count))), "m"
    )
    places = Traverse("p", ("y",) * count, tuple(range(100, 100 + count)), queries.positions, "m")
    answers = {
        i: Answer(i, i, True, 1.0, (FoundPlace(0, "", 100 + (i if i % 4 else 39 - i), 0.5, 0.5),))
        for i in range(count)
    }
    trial = Trial(queries, places, 2.0, answers)
    chosen = choose_pairs(trial, count=8, wrong=2)
    assert [o.right for o in chosen].count(False) == 2 and len(chosen) == 8
    numbers = [o.query for o in chosen]
    assert numbers == sorted(numbers) and numbers[0] < 10 and numbers[-1] > 30


@pytest.mark.parametrize("right", [True, False])
def test_frames_of_the_picture_are_green_or_red(right: bool) -> None:
    picture = match_picture([MatchPair(noise(), noise(), right, "verdict", "details")])
    green, red = (22, 135, 72), (200, 45, 40)
    assert np.any(np.all(picture == (green if right else red), axis=2))
    frame = np.all(picture == (red if right else green), axis=2)
    assert frame.sum() < 20  # the noise may hit the other colour


def test_the_picture_grows_by_rows_and_takes_images_of_any_size() -> None:
    pairs = [MatchPair(noise(30, 90), noise(500, 400), True, "v", "d")] * 3
    two, three = match_picture(pairs[:2], columns=2), match_picture(pairs, columns=2)
    assert two.shape[1] == three.shape[1] and three.shape[0] > 1.8 * two.shape[0]
    with pytest.raises(ValueError, match="at least one"):
        match_picture([])


def test_pictures_are_encoded_as_rgb() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :, 0] = 200
    for data in (encode_png(picture), encode_jpeg(picture)):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None and abs(int(bgr[4, 4, 2]) - 200) < 6 and bgr[4, 4, 0] < 6


class _Links(HTMLParser):
    """Collects everything a browser would load, and whether all tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = ("src", "href", "data", "srcset", "xlink:href")
        self.links += [value or "" for name, value in attrs if name in wanted]
        self.links += ["script"] if tag == "script" else []
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page() -> str:
    chosen = choose_pairs(TRIAL)
    pairs = [describe_pair(TRIAL, o, noise(480, 640), noise(480, 640)) for o in chosen]
    picture = match_picture(pairs * 3, title="Pairs")
    return html_report(
        TRIAL, title="A & B", picture=picture, latency_ms=(4.2, 9.8), facts={"Map": "3 < 4"}
    )


def test_the_report_loads_nothing_and_is_small() -> None:
    text = page()
    links = _Links()
    links.feed(text)
    assert len(text.encode()) < 3_000_000
    assert len(links.links) == 1 and links.links[0].startswith("data:image/jpeg;base64,")
    assert not re.search(r"@import|url\((?!#area)", text)
    assert links.open == []


def test_the_report_tells_the_headline_and_escapes_names() -> None:
    text = page()
    for part in ("<title>A &amp; B</title>", ">50.0<", "2 of 4", "&lt;c&gt;", "3 &lt; 4", "4.2<"):
        assert part in text
    assert "1 of 4 queries got no answer (3)" in text
    assert text.count("<tr>") == 1 + len(TRIAL)
    assert "prefers-color-scheme: dark" in text


def test_the_report_of_no_answers_still_tells_so() -> None:
    text = html_report(Trial(QUERIES, PLACES, 2.0, {}), title="Nothing")
    assert "4 of 4 queries got no answer" in text and ">0.0<" in text


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 149, 6) == [0, 50, 100]
    assert ticks(0.65, 0.83, 6) == pytest.approx([0.65, 0.7, 0.75, 0.8])
    assert ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
