# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The picture that shows at a glance what the numbers mean: queries beside their best matches.

Drawn with OpenCV alone, so that a robot without matplotlib can make one, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.evaluation.answers import Outcome, Trial

_RIGHT, _WRONG, _INK, _SOFT = (22, 135, 72), (200, 45, 40), (28, 32, 38), (102, 110, 120)
_IMAGE_WIDTH = 384
_GAP, _FRAME, _CAPTION, _HEAD = 22, 5, 58, 64
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True)
class MatchPair:
    """One query and its best match, (H, W, 3) uint8 RGB each, with a caption of two lines."""

    query: NDArray[np.uint8]
    match: NDArray[np.uint8]
    right: bool
    verdict: str
    details: str


def choose_pairs(trial: Trial, count: int = 8, wrong: int = 2) -> list[Outcome]:
    """Outcomes worth a look: evenly spread right ones and up to `wrong` of the wrong ones."""
    matched = [outcome for outcome in trial.outcomes if outcome.match is not None]
    good = [outcome for outcome in matched if outcome.right]
    bad = [outcome for outcome in matched if not outcome.right]
    shown_bad = _spread(bad, min(wrong, count) if good else count)
    chosen = _spread(good, count - len(shown_bad)) + shown_bad
    return sorted(chosen, key=lambda outcome: outcome.query)


def describe_pair(
    trial: Trial, outcome: Outcome, query: NDArray[np.uint8], match: NDArray[np.uint8]
) -> MatchPair:
    """Write the caption of one outcome under its two images."""
    unit = trial.queries.unit
    verdict = ("right" if outcome.right else "wrong") + f", {offset_text(outcome.off, unit)}"
    flag = "detected" if outcome.detected else "nothing detected"
    details = (
        f"query {outcome.query} > place {outcome.match}, distance {outcome.distance:.3f}, {flag}"
    )
    return MatchPair(query, match, outcome.right, verdict, details)


def offset_text(off: float | None, unit: str) -> str:
    """How far a match is from the truth, for people."""
    if off is None:
        return "no match"
    if unit == "m":
        return f"{off:.1f} m off"
    return "same frame" if off == 0 else f"{off:.0f} frame{'s' if off > 1 else ''} off"


def match_picture(
    pairs: Sequence[MatchPair], *, title: str = "", columns: int = 2
) -> NDArray[np.uint8]:
    """A grid of query | best match, (H, W, 3) uint8 RGB, framed green if right and red if wrong.

    Raises:
        ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("a match picture needs at least one pair")
    cells = [_cell(pair) for pair in pairs]
    height, width = max(c.shape[0] for c in cells), cells[0].shape[1]
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    head = _HEAD if title else _GAP
    page = np.full(
        (head + rows * (height + _GAP), _GAP + columns * (width + _GAP), 3), 255, np.uint8
    )
    if title:
        _write(page, title, (_GAP, 42), 0.82, _INK)
    for index, cell in enumerate(cells):
        top = head + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        page[top : top + cell.shape[0], left : left + width] = cell
    return page


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 84) -> bytes:
    """An RGB picture as a JPEG file."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def encode_png(rgb: NDArray[np.uint8]) -> bytes:
    """An RGB picture as a PNG file."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])


def _cell(pair: MatchPair) -> NDArray[np.uint8]:
    colour = _RIGHT if pair.right else _WRONG
    images = [_fitted(pair.query), _fitted(pair.match)]
    height = max(image.shape[0] for image in images)
    width = 2 * _IMAGE_WIDTH + 3 * _FRAME
    cell = np.full((height + 2 * _FRAME + _CAPTION, width, 3), 255, np.uint8)
    cell[: height + 2 * _FRAME] = colour
    for index, (image, label) in enumerate(zip(images, ("query", "best match"), strict=True)):
        left = _FRAME + index * (_IMAGE_WIDTH + _FRAME)
        cell[_FRAME : _FRAME + image.shape[0], left : left + _IMAGE_WIDTH] = image
        (text, _), _ = cv2.getTextSize(label, _FONT, 0.5, 1)
        cell[_FRAME : _FRAME + 24, left : left + text + 16] = _INK
        _write(cell, label, (left + 8, _FRAME + 17), 0.5, (255, 255, 255))
    baseline = height + 2 * _FRAME
    _write(cell, pair.verdict, (0, baseline + 25), 0.66, colour)
    _write(cell, pair.details, (0, baseline + 49), 0.54, _SOFT)
    return cell


def _fitted(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = max(1, round(rgb.shape[0] * _IMAGE_WIDTH / rgb.shape[1]))
    smaller = rgb.shape[1] >= _IMAGE_WIDTH
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (_IMAGE_WIDTH, height), interpolation=how), np.uint8)


def _write(
    page: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    scale: float,
    colour: tuple[int, int, int],
) -> None:
    """Put text on the page, made narrower if it would run over the right edge."""
    # OpenCV's own fonts know ASCII only.
    plain = text.encode("ascii", "replace").decode()
    (width, _), _ = cv2.getTextSize(plain, _FONT, scale, 1)
    scale = min(scale, scale * (page.shape[1] - at[0]) / max(width, 1))
    cv2.putText(page, plain, at, _FONT, scale, colour, 1, cv2.LINE_AA)


def _spread(outcomes: Sequence[Outcome], count: int) -> list[Outcome]:
    """At most `count` of them, evenly spread."""
    if len(outcomes) <= count:
        return list(outcomes)
    return [outcomes[int((i + 0.5) * len(outcomes) / count)] for i in range(count)]
