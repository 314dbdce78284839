# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Two traverses with the truth about them, ready to be evaluated; those of a dataset are opened."""

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
    read_positions,
    within_metres,
)
from floppynet_vpr.datasets.ground_truth import same_place_by_position
from floppynet_vpr.datasets.layouts import FoundLayout, find_layout, find_paths
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.datasets.traverse import Traverse
from floppynet_vpr.datasets.truth_files import read_truth
from floppynet_vpr.errors import VprError

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

    def only(self, queries: Sequence[int], references: Sequence[int]) -> TraversePair:
        """The same pair with the frames at these positions (of its traverses) only."""

        def rows(
            values: NDArray[np.float64] | None, chosen: Sequence[int]
        ) -> NDArray[np.float64] | None:
            return None if values is None else values[list(chosen)]

        return replace(
            self,
            query=self.query.only(queries),
            reference=self.reference.only(references),
            truth=self.truth[np.ix_(queries, references)],
            query_gps=rows(self.query_gps, queries),
            reference_gps=rows(self.reference_gps, references),
            query_at=rows(self.query_at, queries),
            reference_at=rows(self.reference_at, references),
        )

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
    """Open the pairs of a dataset's copy in `root`, or the one called `only`.

    `tolerance` takes the place of the rule's own. Of each traverse only these `frames` are taken,
    or, evenly spread, as many as the paper took; numbers of frames, and with them the tolerance,
    are then those of the chosen ones. Raises VprError where no complete copy is there, or the
    ground truth does not fit it.
    """
    pairs = []
    for names in (only,) if only else spec.pairs:
        found = find_layout(spec, root, names)
        rule = found.layout.truth
        rule = rule if tolerance is None else replace(rule, tolerance=tolerance)
        count = spec.paper_frames if paper_frames else None
        pairs.append(_with_truth(spec, found, rule, count, frames, sample))
    return pairs


def _with_truth(
    spec: DatasetSpec,
    found: FoundLayout,
    rule: TruthRule,
    count: int | None,
    frames: slice,
    sample: Sample | None,
) -> TraversePair:
    query, reference = (
        traverse.only(chosen_frames(traverse, frames))
        for traverse in (found.query, found.reference)
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
        truth = file_truth(files[0], found.query, found.reference, rule)[np.ix_(*chosen)]
        text = f"as {files[0].name} says"
        if rule.tolerance:
            text += f", each reference with {rule.tolerance:g} neighbours on either side"
    else:
        truth = same_place_by_position(at[0], at[1], rule.tolerance)
        text = frames_text(rule.tolerance)
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


def chosen_frames(traverse: Traverse, frames: slice) -> range:
    """The positions of the frames to take; raises VprError where there are none."""
    chosen = range(len(traverse))[frames]
    if not chosen:
        raise VprError(f"{traverse.path} has {len(traverse)} frames, and none of them is chosen")
    return chosen


def frames_text(tolerance: float) -> str:
    """The rule of traverses in step, in words."""
    return f"frame numbers at most {tolerance:g} apart"


def file_truth(
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
