# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""An image beside the place that it was matched to, with what was found, for people to judge."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import cv2
import numpy as np
from numpy.typing import NDArray

PANEL_HEIGHT, PANEL_WIDTH = 240, 320
_LINE = 20
_SCALE = 0.45
_CHARACTERS = 78
_MARGIN = 6
_BACKGROUND = 32
_WHITE, _GREEN, _ORANGE = (235, 235, 235), (80, 210, 110), (240, 160, 60)


def draw_match(
    query: NDArray[np.uint8],
    place: NDArray[np.uint8] | None,
    verdict: str,
    detected: bool,
    facts: Sequence[str],
) -> NDArray[np.uint8]:
    """Draw two RGB (h, w, 3) uint8 images side by side over lines of text; returns RGB uint8.

    The verdict is green where something was `detected`, else orange. A place of which there is no
    picture is an empty panel.
    """
    panels = np.full((PANEL_HEIGHT, 2 * PANEL_WIDTH, 3), _BACKGROUND, np.uint8)
    _fit(query, panels[:, :PANEL_WIDTH])
    if place is None:
        _write(panels, "no picture of this place", PANEL_WIDTH + 70, PANEL_HEIGHT // 2, _WHITE)
    else:
        _fit(place, panels[:, PANEL_WIDTH:])
    lines = [(line, _GREEN if detected else _ORANGE) for line in wrap(verdict, _CHARACTERS)]
    lines += [(line, _WHITE) for fact in facts for line in wrap(fact, _CHARACTERS)]
    text = np.full((len(lines) * _LINE + 2 * _MARGIN, 2 * PANEL_WIDTH, 3), _BACKGROUND, np.uint8)
    for number, (line, colour) in enumerate(lines):
        _write(text, line, _MARGIN, _MARGIN + _LINE * (number + 1) - 6, colour)
    return np.concatenate([panels, text])


def _fit(image: NDArray[np.uint8], panel: NDArray[np.uint8]) -> None:
    """Put an image into the middle of a panel, as large as it fits."""
    share = min(panel.shape[0] / image.shape[0], panel.shape[1] / image.shape[1])
    height, width = (max(1, int(share * length)) for length in image.shape[:2])
    top, left = (panel.shape[0] - height) // 2, (panel.shape[1] - width) // 2
    way = cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
    panel[top : top + height, left : left + width] = cv2.resize(
        image, (width, height), interpolation=way
    )


def _write(image: NDArray[np.uint8], line: str, x: int, y: int, colour: Sequence[int]) -> None:
    # OpenCV's fonts are of ASCII alone.
    plain = line.encode("ascii", "replace").decode()
    cv2.putText(image, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, _SCALE, colour, 1, cv2.LINE_AA)
