# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Traverses of one's own: two folders, videos or bags as a pair, or one that meets itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from floppynet_vpr.datasets.catalogue import TruthRule
from floppynet_vpr.datasets.gps import read_metres, read_positions, within_metres
from floppynet_vpr.datasets.ground_truth import same_place_by_position
from floppynet_vpr.datasets.traverse import Traverse, open_traverse
from floppynet_vpr.datasets.traverse_pairs import (
    ALL,
    Sample,
    TraversePair,
    chosen_frames,
    file_truth,
    frames_text,
)
from floppynet_vpr.datasets.truth_files import read_loops
from floppynet_vpr.errors import VprError
from floppynet_vpr.stamps import SECOND_NS

_log = logging.getLogger(__name__)


def open_own_pair(
    query: Path,
    reference: Path,
    rule: TruthRule,
    *,
    rate_hz: float = 10.0,
    frames: slice = ALL,
    sample: Sample | None = None,
    topic: str | None = None,
) -> TraversePair:
    """Open two folders, videos or bags as a pair; `topic` is that of the images in bags.

    `rule.files` are paths of their own: of the ground truth or, where metres decide, of the
    positions of query and reference. `rule.tolerance` is of the chosen `frames`, except in a file
    of ground truth, which speaks of all. Raises VprError where one of them cannot be read, or the
    ground truth does not fit.
    """
    whole = (
        open_traverse(query, rate_hz=rate_hz, topic=topic),
        open_traverse(reference, rate_hz=rate_hz, topic=topic),
    )
    asked, known = (chosen_frames(traverse, frames) for traverse in whole)
    drawn = sample.positions(len(asked)) if sample else range(len(asked))
    queries = [asked[position] for position in drawn]
    pair = TraversePair(
        "own",
        f"{whole[0].label} on {whole[1].label}",
        whole[0].only(queries),
        whole[1].only(known),
        np.empty((0, 0), bool),
        frames_text(rule.tolerance),
    )
    if rule.kind == "file":
        path = Path(rule.files[0])
        truth = file_truth(path, *whole, rule)[np.ix_(queries, known)]
        return replace(pair, truth=truth, rule=_file_text(path, rule.tolerance))
    if rule.kind == "nowhere":
        nothing = np.zeros((len(queries), len(known)), bool)
        return replace(pair, truth=nothing, rule="no reference shows the place of any query")
    if rule.kind == "frames":
        if len(asked) != len(known):
            _log.warning(
                "%s has %d frames and %s %d: frames of the same number are taken for the same "
                "place; if they are not, positions or a ground truth have to say which are",
                *(whole[0].label, len(asked), whole[1].label, len(known)),
            )
        at = [np.array(numbers, np.float64)[:, None] for numbers in (drawn, range(len(known)))]
        truth = same_place_by_position(at[0], at[1], rule.tolerance)
        return replace(pair, truth=truth, query_at=at[0], reference_at=at[1])
    return _by_metres(pair, whole, (queries, known), rule)


def _file_text(path: Path, tolerance: float) -> str:
    return f"as {path.name} says" + (f", within {tolerance:g} frames" if tolerance else "")


def _by_metres(
    pair: TraversePair,
    whole: tuple[Traverse, Traverse],
    rows: tuple[Sequence[int], ...],
    rule: TruthRule,
) -> TraversePair:
    paths = [Path(file) for file in rule.files]
    names = [traverse.names for traverse in whole]
    text = f"within {rule.tolerance:g} m by {paths[0].name} and {paths[1].name}"
    metres = [read_metres(path, called) for path, called in zip(paths, names, strict=True)]
    if metres[0] is None or metres[1] is None:
        gps = [read_positions(path, called) for path, called in zip(paths, names, strict=True)]
        degrees = gps[0][rows[0]], gps[1][rows[1]]
        truth = within_metres(*degrees, rule.tolerance)
        return replace(
            pair, truth=truth, rule=text, unit="m", query_gps=degrees[0], reference_gps=degrees[1]
        )
    at = metres[0][rows[0]], metres[1][rows[1]]
    if at[0].shape[1] != at[1].shape[1]:
        raise VprError(f"{paths[0]} and {paths[1]} should name the same of the columns x, y, z")
    truth = same_place_by_position(*at, rule.tolerance)
    return replace(pair, truth=truth, rule=text, unit="m", query_at=at[0], reference_at=at[1])


def open_loop(
    path: Path,
    truth: Path | None,
    tolerance: int,
    *,
    exclude_images: int,
    exclude_seconds: float,
    rate_hz: float = 10.0,
    frames: slice = ALL,
    topic: str | None = None,
) -> TraversePair:
    """Open a folder, video or bag as a traverse that meets itself: images ask about former ones.

    `truth` says which frames show the same place (`read_loops`), of all of them whichever `frames`
    are taken; None: none do. A match may be `tolerance` frames off. The last `exclude_images`
    before an image, and those of the last `exclude_seconds`, do not count as known. Raises VprError
    where it cannot be read, or the ground truth does not fit.
    """
    whole = open_traverse(path, rate_hz=rate_hz, topic=topic)
    chosen = chosen_frames(whole, frames)
    traverse = whole.only(chosen)
    same = np.zeros((len(chosen), len(chosen)), bool)
    rule = "no place is seen twice"
    if truth is not None:
        same = read_loops(truth, len(whole), tolerance)[np.ix_(chosen, chosen)]
        rule = _file_text(truth, tolerance)
    stamps = np.array(traverse.stamps_ns())
    for number, stamp in enumerate(stamps):
        same[number, max(0, number - exclude_images) :] = False
        same[number] &= np.abs(stamps - stamp) >= exclude_seconds * SECOND_NS
    return TraversePair("own", whole.label, traverse, traverse, same, rule, loop=True)
