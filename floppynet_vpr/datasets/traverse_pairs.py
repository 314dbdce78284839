# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Two traverses with the truth about them, or one that meets itself, ready to be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bags_reading import BagFrames, read_fixes
from floppynet_vpr.datasets.catalogue import DatasetSpec, Pair, TruthRule
from floppynet_vpr.datasets.gps import (
    geodesic_metres,
    positions_at,
    read_metres,
    read_positions,
    within_metres,
)
from floppynet_vpr.datasets.ground_truth import same_place_by_position
from floppynet_vpr.datasets.layouts import FoundLayout, find_layout, find_paths
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.datasets.traverse import Traverse, open_traverse
from floppynet_vpr.datasets.truth_files import read_loops, read_truth
from floppynet_vpr.errors import VprError
from floppynet_vpr.stamps import SECOND_NS

ALL = slice(None)
"""Every frame."""


@dataclass(frozen=True)
class TraversePair:
    """Queries, references and which of them show the same place.

    `dataset`: its short name; `title`: what people call it; `truth`: (queries, references) bool;
    `rule`: how the truth came about, in words; `layout`: which copy of the dataset it is. Of both
    traverses the positions are known or of none: `query_gps` and `reference_gps` are (n, 2) degrees
    of latitude and longitude, `query_at` and `reference_at` (n, d) metres or, in step, frames.
    With `loop` they are one traverse, whose references are known only once they were passed.
    """

    dataset: str
    title: str
    query: Traverse
    reference: Traverse
    truth: NDArray[np.bool_]
    rule: str
    layout: str = ""
    query_gps: NDArray[np.float64] | None = None
    reference_gps: NDArray[np.float64] | None = None
    query_at: NDArray[np.float64] | None = None
    reference_at: NDArray[np.float64] | None = None
    unit: str = "frames"
    loop: bool = False

    @property
    def name(self) -> str:
        """Dataset, query and reference."""
        if self.loop:
            return f"{self.dataset}: {self.query.label} > itself"
        return f"{self.dataset}: {self.query.label} > {self.reference.label}"

    def off(self, query: int, reference: int) -> float | None:
        """How far a reference is from the query's place: metres or frames, as `unit` says.

        Where positions are not known, it is the way to the nearest reference that is right, in
        frames, and None where none is.
        """
        if self.query_at is not None and self.reference_at is not None:
            return float(np.linalg.norm(self.reference_at[reference] - self.query_at[query]))
        if self.unit == "m" and self.query_gps is not None and self.reference_gps is not None:
            return geodesic_metres(self.query_gps[query], self.reference_gps[reference])
        right = np.flatnonzero(self.truth[query])
        return float(np.abs(right - reference).min()) if len(right) else None

    @property
    def driven_m(self) -> NDArray[np.float64] | None:
        """Metres driven from the query before to each query, (queries,); None: not known."""
        if self.query_gps is not None:
            steps = [
                geodesic_metres(one, other)
                for one, other in zip(self.query_gps, self.query_gps[1:], strict=False)
            ]
        elif self.query_at is not None and self.unit == "m":
            steps = np.linalg.norm(np.diff(self.query_at, axis=0), axis=1).tolist()
        else:
            return None
        return np.array([0.0, *steps])


@dataclass(frozen=True)
class Sample:
    """Some of the queries, drawn without repetition; the same seed draws the same ones."""

    count: int
    seed: int

    def positions(self, of: int) -> list[int]:
        """Which of so many queries, ascending; all if there are not more than `count`."""
        if self.count >= of:
            return list(range(of))
        drawn = np.random.default_rng(self.seed).choice(of, self.count, replace=False)
        return sorted(drawn.tolist())


def open_pairs(
    spec: DatasetSpec,
    root: Path,
    *,
    only: Pair | None = None,
    tolerance: float | None = None,
    paper_frames: bool = False,
    frames: slice = ALL,
    sample: Sample | None = None,
) -> list[TraversePair]:
    """Open the pairs of a dataset's copy.

    Args:
        spec: the dataset.
        root: its folder, or the one that holds it.
        only: this pair in place of all that the dataset file lists.
        tolerance: in place of the rule's own.
        paper_frames: take only as many frames of each traverse as the paper did, evenly spread;
            numbers of frames, and with them the tolerance, are then those of the chosen frames.
        frames: take only these of each traverse, with the same effect.
        sample: take only these queries.

    Raises:
        VprError: no complete copy is there, or the ground truth does not fit it.
    """
    pairs = []
    for names in (only,) if only else spec.pairs:
        found = find_layout(spec, root, names)
        rule = found.layout.truth
        rule = rule if tolerance is None else replace(rule, tolerance=tolerance)
        count = spec.paper_frames if paper_frames else None
        pairs.append(_with_truth(spec, found, rule, count, frames, sample))
    return pairs


def open_own_pair(
    query: Path,
    reference: Path,
    rule: TruthRule,
    *,
    rate_hz: float = 10.0,
    frames: slice = ALL,
    sample: Sample | None = None,
) -> TraversePair:
    """Open two folders, videos or bags as a pair.

    `rule.files` are paths of their own: of the ground truth or, where metres decide, of the
    positions of query and reference. `rule.tolerance` is of the chosen `frames`, except in a file
    of ground truth, which speaks of all.

    Raises:
        VprError: one of them cannot be read, or the ground truth does not fit.
    """
    whole = open_traverse(query, rate_hz=rate_hz), open_traverse(reference, rate_hz=rate_hz)
    asked, known = (_chosen(traverse, frames) for traverse in whole)
    drawn = sample.positions(len(asked)) if sample else range(len(asked))
    queries = [asked[position] for position in drawn]
    pair = TraversePair(
        "own",
        f"{whole[0].label} on {whole[1].label}",
        whole[0].only(queries),
        whole[1].only(known),
        np.empty((0, 0), bool),
        f"as {Path(rule.files[0]).name} says" if rule.files else _frames_text(rule.tolerance),
    )
    if rule.kind == "file":
        truth = _file_truth(Path(rule.files[0]), *whole, rule)[np.ix_(queries, known)]
        return replace(pair, truth=truth)
    if rule.kind == "nowhere":
        nothing = np.zeros((len(queries), len(known)), bool)
        return replace(pair, truth=nothing, rule="no reference shows the place of any query")
    if rule.kind == "frames":
        at = [np.array(numbers, np.float64)[:, None] for numbers in (drawn, range(len(known)))]
        truth = same_place_by_position(at[0], at[1], rule.tolerance)
        return replace(pair, truth=truth, query_at=at[0], reference_at=at[1])
    return _by_metres(pair, whole, (queries, known), rule)


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
) -> TraversePair:
    """Open a folder, video or bag as a traverse that meets itself: images ask about former ones.

    Args:
        path: the traverse.
        truth: which frames show the same place (`read_loops`); None: none do.
        tolerance: a frame that the file names stands for its neighbours so far, too.
        exclude_images: so many images back, nothing counts as known yet.
        exclude_seconds: nor does what was seen so short a time ago.
        rate_hz: images per second of a folder.
        frames: which to take; the file speaks of all.

    Raises:
        VprError: it cannot be read, or the ground truth does not fit.
    """
    whole = open_traverse(path, rate_hz=rate_hz)
    chosen = _chosen(whole, frames)
    traverse = whole.only(chosen)
    same = np.zeros((len(chosen), len(chosen)), bool)
    rule = "no place is seen twice"
    if truth is not None:
        same = read_loops(truth, len(whole), tolerance)[np.ix_(chosen, chosen)]
        rule = f"as {truth.name} says" + (f", within {tolerance} frames" if tolerance else "")
    stamps = np.array(traverse.stamps_ns())
    for number, stamp in enumerate(stamps):
        same[number, max(0, number - exclude_images) :] = False
        same[number] &= np.abs(stamps - stamp) >= exclude_seconds * SECOND_NS
    return TraversePair("own", whole.label, traverse, traverse, same, rule, loop=True)


def _with_truth(
    spec: DatasetSpec,
    found: FoundLayout,
    rule: TruthRule,
    count: int | None,
    frames: slice,
    sample: Sample | None,
) -> TraversePair:
    query, reference = (
        traverse.only(_chosen(traverse, frames)) for traverse in (found.query, found.reference)
    )
    if count is not None:
        query, reference = query.spread(count), reference.spread(count)
    # Chosen frames are numbered anew: two traverses in step stay in step.
    drawn = sample.positions(len(query)) if sample else range(len(query))
    at = [np.array(numbers, np.float64)[:, None] for numbers in (drawn, range(len(reference)))]
    query = query.only(drawn)
    # Files speak of all frames, whichever are chosen.
    chosen = list(query.indices), list(reference.indices)
    gps = []
    for traverse, rows in zip((found.query, found.reference), chosen, strict=True):
        whole = _positions(found, traverse, required=rule.kind == "metres")
        gps.append(None if whole is None else whole[rows])
    if rule.kind == "metres":
        assert gps[0] is not None and gps[1] is not None
        truth = within_metres(gps[0], gps[1], rule.tolerance)
        text = f"within {rule.tolerance:g} m by GPS"
    elif rule.kind == "file":
        files = [path for path in find_paths(found.folder, rule.files) if path.is_file()]
        if not files:
            raise VprError(
                f"there is no ground truth of {spec.title} in {found.folder}: looked for "
                f"{' or '.join(rule.files)}"
            )
        truth = _file_truth(files[0], found.query, found.reference, rule)[np.ix_(*chosen)]
        text = f"as {files[0].name} says"
        if rule.tolerance:
            text += f", each reference with {rule.tolerance:g} neighbours on either side"
    else:
        truth = same_place_by_position(at[0], at[1], rule.tolerance)
        text = _frames_text(rule.tolerance)
    pair = TraversePair(
        spec.name,
        spec.title,
        query,
        reference,
        truth,
        text,
        found.layout.name,
        query_gps=gps[0],
        reference_gps=gps[1],
    )
    if rule.kind == "frames":
        return replace(pair, query_at=at[0], reference_at=at[1])
    return replace(pair, unit="m") if rule.kind == "metres" else pair


def _chosen(traverse: Traverse, frames: slice) -> range:
    """The positions of the frames to take; raises VprError where there are none."""
    chosen = range(len(traverse))[frames]
    if not chosen:
        raise VprError(f"{traverse.path} has {len(traverse)} frames, and none of them is chosen")
    return chosen


def _frames_text(tolerance: float) -> str:
    return f"frame numbers at most {tolerance:g} apart"


def _file_truth(
    path: Path, query: Traverse, reference: Traverse, rule: TruthRule
) -> NDArray[np.bool_]:
    """The truth of a file that speaks of these traverses' frames."""
    numbers = []
    for traverse in (query, reference):
        if rule.numbering == "index":
            numbers.append(list(traverse.indices))
        else:
            numbers.append([_number_in(name) for name in traverse.names])
    return read_truth(path, numbers[0], numbers[1], int(rule.tolerance), rule.query_column)


def _number_in(name: str) -> int:
    """The last number in a frame's name."""
    digits = "".join(c if c.isdigit() else " " for c in Path(name).stem).split()
    if not digits:
        raise VprError(f"the frame {name} has no number in its name to find it in the ground truth")
    return int(digits[-1])


def _positions(
    found: FoundLayout, traverse: Traverse, required: bool
) -> NDArray[np.float64] | None:
    """The GPS positions of a traverse's frames, if there are any."""
    patterns = found.layout.traverses[traverse.label].gps
    files = [path for path in find_paths(found.folder, patterns) if path.is_file()]
    if files:
        return read_positions(files[0], traverse.names)
    source = open_source(traverse.path, topic=traverse.topic, rate_hz=traverse.rate_hz)
    fixes = read_fixes(traverse.path) if isinstance(source, BagFrames) else []
    if fixes and isinstance(source, BagFrames):
        stamps = source.stamps_ns()
        return positions_at(fixes, [stamps[i] for i in traverse.indices], str(traverse.path))
    if required:
        looked = " or ".join(patterns) or "GPS fixes in a bag: the dataset file names no file"
        raise VprError(
            f"there are no GPS positions of {traverse.label} in {found.folder}: looked for {looked}"
        )
    return None
