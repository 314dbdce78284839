# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Two drives along one route with the truth about them, ready to be evaluated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bags_reading import BagFrames, read_fixes
from floppynet_vpr.datasets.catalogue import DatasetSpec, Pair, TruthRule
from floppynet_vpr.datasets.drives import Drive, open_drive
from floppynet_vpr.datasets.gps import positions_at, read_positions, within_metres
from floppynet_vpr.datasets.ground_truth import same_place_by_position
from floppynet_vpr.datasets.layouts import FoundLayout, find_layout, find_paths
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.datasets.truth_files import read_truth
from floppynet_vpr.errors import VprError


@dataclass(frozen=True)
class RoutePair:
    """Queries, references and which of them show the same place.

    `dataset`: its short name; `title`: what people call it; `truth`: (queries, references) bool;
    `rule`: how the truth came about, in words; `layout`: which copy of the dataset it is. The
    positions are (n, 2) degrees of latitude and longitude, if they are known.
    """

    dataset: str
    title: str
    query: Drive
    reference: Drive
    truth: NDArray[np.bool_]
    rule: str
    layout: str = ""
    query_gps: NDArray[np.float64] | None = None
    reference_gps: NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        """Dataset, query and reference."""
        return f"{self.dataset}: {self.query.label} > {self.reference.label}"


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
    sample: Sample | None = None,
) -> list[RoutePair]:
    """Open the pairs of a dataset's copy.

    Args:
        spec: the dataset.
        root: its folder, or the one that holds it.
        only: this pair in place of all that the dataset file lists.
        tolerance: in place of the rule's own.
        paper_frames: take only as many frames of each traverse as the paper did, evenly spread;
            numbers of frames, and with them the tolerance, are then those of the chosen frames.
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
        pairs.append(_with_truth(spec, found, rule, count, sample))
    return pairs


def open_own_pair(
    query: Path,
    reference: Path,
    rule: TruthRule,
    *,
    rate_hz: float = 10.0,
    sample: Sample | None = None,
) -> RoutePair:
    """Open two folders, videos or bags as a pair; `rule.files` are paths of their own.

    Raises:
        VprError: one of them cannot be read, or the ground truth does not fit.
    """
    asking, known = open_drive(query, rate_hz=rate_hz), open_drive(reference, rate_hz=rate_hz)
    positions = sample.positions(len(asking)) if sample else list(range(len(asking)))
    if rule.kind == "file":
        truth = _file_truth(Path(rule.files[0]), asking, known, rule)[positions]
        text = f"as {Path(rule.files[0]).name} says"
    else:
        truth = same_place_by_position(positions, known.indices, rule.tolerance)
        text = _frames_text(rule.tolerance)
    label = f"{asking.label} on {known.label}"
    return RoutePair("own", label, asking.only(positions), known, truth, text)


def _with_truth(
    spec: DatasetSpec,
    found: FoundLayout,
    rule: TruthRule,
    count: int | None,
    sample: Sample | None,
) -> RoutePair:
    query, reference = found.query, found.reference
    if count is not None:
        query, reference = query.spread(count), reference.spread(count)
    # Spread frames are numbered anew: two traverses in step stay in step.
    numbers = [
        list(drive.indices if count is None else range(len(drive))) for drive in (query, reference)
    ]
    if sample is not None:
        positions = sample.positions(len(query))
        query, numbers[0] = query.only(positions), [numbers[0][p] for p in positions]
    # Files speak of all frames, whichever are chosen.
    chosen = list(query.indices), list(reference.indices)
    gps = []
    for drive, rows in zip((found.query, found.reference), chosen, strict=True):
        whole = _positions(found, drive, required=rule.kind == "metres")
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
        truth = same_place_by_position(numbers[0], numbers[1], rule.tolerance)
        text = _frames_text(rule.tolerance)
    return RoutePair(spec.name, spec.title, query, reference, truth, text, found.layout.name, *gps)


def _frames_text(tolerance: float) -> str:
    return f"frame numbers at most {tolerance:g} apart"


def _file_truth(path: Path, query: Drive, reference: Drive, rule: TruthRule) -> NDArray[np.bool_]:
    """The truth of a file that speaks of these drives' frames."""
    numbers = []
    for drive in (query, reference):
        if rule.numbering == "index":
            numbers.append(list(drive.indices))
        else:
            numbers.append([_number_in(name) for name in drive.names])
    return read_truth(path, numbers[0], numbers[1], int(rule.tolerance), rule.query_column)


def _number_in(name: str) -> int:
    """The last number in a frame's name."""
    digits = "".join(c if c.isdigit() else " " for c in Path(name).stem).split()
    if not digits:
        raise VprError(f"the frame {name} has no number in its name to find it in the ground truth")
    return int(digits[-1])


def _positions(found: FoundLayout, drive: Drive, required: bool) -> NDArray[np.float64] | None:
    """The GPS positions of a drive's frames, if there are any."""
    patterns = found.layout.traverses[drive.label].gps
    files = [path for path in find_paths(found.folder, patterns) if path.is_file()]
    if files:
        return read_positions(files[0], drive.names)
    source = open_source(drive.path, topic=drive.topic, rate_hz=drive.rate_hz)
    fixes = read_fixes(drive.path) if isinstance(source, BagFrames) else []
    if fixes and isinstance(source, BagFrames):
        stamps = source.stamps_ns()
        return positions_at(fixes, [stamps[i] for i in drive.indices], str(drive.path))
    if required:
        looked = " or ".join(patterns) or "GPS fixes in a bag: the dataset file names no file"
        raise VprError(
            f"there are no GPS positions of {drive.label} in {found.folder}: looked for {looked}"
        )
    return None
