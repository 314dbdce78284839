# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation: the similarity matrix, and the most telling pairs of images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.drives import Drive
from floppynet_vpr.evaluation.experiment import Result
from floppynet_vpr.evaluation.figures import MatchPair, match_picture
from floppynet_vpr.evaluation.scores import nearest_distances, nearest_is_right


def similarity_picture(result: Result) -> NDArray[np.uint8] | None:
    """The distance matrix as a picture, (rows, columns, 3) uint8 RGB: bright is alike.

    Queries from the left, references from below, as in the plot of the matches. None if there is
    no matrix.
    """
    distances = result.retrieval.preview
    if distances is None or not distances.size:
        return None
    near, far = np.percentile(distances, [0.2, 99])
    likeness = np.clip((far - distances) / max(float(far - near), 1e-9), 0, 1)
    grey = np.ascontiguousarray(np.round(255 * likeness.T[::-1]).astype(np.uint8))
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[:, :, ::-1], np.uint8)


def telling_queries(result: Result, each: int = 3) -> list[int]:
    """Queries worth a look: the surest right ones, then the surest wrong ones.

    Both are taken from as many equal parts of the drive, so that not all show one place.
    """
    distances = nearest_distances(result.retrieval)
    right = nearest_is_right(result.retrieval.ids, result.pair.truth)
    chosen: list[int] = []
    for wanted in (right, ~right):
        for part in np.array_split(np.arange(len(right)), each):
            candidates = part[wanted[part] & np.isfinite(distances[part])]
            if len(candidates):
                chosen.append(int(candidates[np.argmin(distances[candidates])]))
    return chosen


def telling_pairs_picture(result: Result) -> NDArray[np.uint8] | None:
    """The images of the telling queries beside their nearest references, None without any."""
    queries = telling_queries(result)
    if not queries:
        return None
    ids = result.retrieval.ids[:, 0]
    matches = [int(ids[query]) for query in queries]
    asked = _images(result.pair.query, queries)
    known = _images(result.pair.reference, matches)
    distances = nearest_distances(result.retrieval)
    right = nearest_is_right(result.retrieval.ids, result.pair.truth)
    pairs = [
        MatchPair(
            asked[query],
            known[match],
            bool(right[query]),
            "right" if right[query] else "wrong",
            f"query {result.pair.query.names[query]} > {result.pair.reference.names[match]}, "
            f"distance {distances[query]:.3f}",
        )
        for query, match in zip(queries, matches, strict=True)
    ]
    return match_picture(pairs)


def _images(drive: Drive, positions: list[int]) -> dict[int, NDArray[np.uint8]]:
    """The images at these positions of a drive."""
    wanted = sorted(set(positions))
    frames = drive.only(wanted).frames()
    return {position: frame.rgb for position, frame in zip(wanted, frames, strict=True)}
