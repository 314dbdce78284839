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
from floppynet_vpr.datasets.frames import open_source
from floppynet_vpr.datasets.gps import positions_at, read_positions, within_metres
from floppynet_vpr.datasets.ground_truth import same_place_by_index, same_place_by_position
from floppynet_vpr.datasets.layouts import FoundLayout, find_layout, find_paths
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

    def sample(self, count: int | None, seed: int) -> RoutePair:
        """The same pair with `count` of its queries, drawn without repetition; None keeps all.

        The same seed draws the same queries. They stay in the order of driving.
        """
        if count is None or count >= len(self.query):
            return self
        drawn = np.random.default_rng(seed).choice(len(self.query), count, replace=False)
        chosen = sorted(drawn.tolist())
        gps = None if self.query_gps is None else self.query_gps[chosen]
        return replace(self, query=self.query.only(chosen), truth=self.truth[chosen], query_gps=gps)


def open_pairs(
    spec: DatasetSpec,
    root: Path,
    *,
    only: Pair | None = None,
    tolerance: float | None = None,
    paper_frames: bool = False,
) -> list[RoutePair]:
    """Open the pairs of a dataset's copy.

    Args:
        spec: the dataset.
        root: its folder, or the one that holds it.
        only: this pair in place of all that the dataset file lists.
        tolerance: in place of the rule's own.
        paper_frames: take only as many frames of each traverse as the paper did, evenly spread;
            numbers of frames, and with them the tolerance, are then those of the chosen frames.

    Raises:
        VprError: no complete copy is there, or the ground truth does not fit it.
    """
    pairs = []
    for names in (only,) if only else spec.pairs:
        found = find_layout(spec, root, names)
        rule = found.layout.truth
        rule = rule if tolerance is None else replace(rule, tolerance=tolerance)
        pair = _with_truth(spec, found, rule, spec.paper_frames if paper_frames else None)
        pairs.append(pair)
    return pairs


def open_own_pair(
    query: Path, reference: Path, rule: TruthRule, rate_hz: float = 10.0
) -> RoutePair:
    """Open two folders, videos or bags as a pair; `rule.files` are paths of their own.

    Raises:
        VprError: one of them cannot be read, or the ground truth does not fit.
    """
    drives = open_drive(query, rate_hz=rate_hz), open_drive(reference, rate_hz=rate_hz)
    if rule.kind == "file":
        truth = _file_truth(Path(rule.files[0]), *drives, rule)
        text = f"as {Path(rule.files[0]).name} says"
    else:
        truth = same_place_by_index(len(drives[0]), len(drives[1]), int(rule.tolerance))
        text = _frames_text(rule.tolerance)
    label = f"{drives[0].label} on {drives[1].label}"
    return RoutePair("own", label, *drives, truth, text)


def _with_truth(
    spec: DatasetSpec, found: FoundLayout, rule: TruthRule, count: int | None
) -> RoutePair:
    query, reference = found.query, found.reference
    if count is not None:
        query, reference = query.spread(count), reference.spread(count)
    # Files speak of all frames, whichever are chosen.
    chosen = list(query.indices), list(reference.indices)
    whole = tuple(
        _positions(found, drive, required=rule.kind == "metres")
        for drive in (found.query, found.reference)
    )
    positions = tuple(
        None if at is None else at[rows] for at, rows in zip(whole, chosen, strict=True)
    )
    if rule.kind == "metres":
        assert positions[0] is not None and positions[1] is not None
        truth = within_metres(positions[0], positions[1], rule.tolerance)
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
        # Spread frames are numbered anew: two traverses in step stay in step.
        at = [drive.indices if count is None else range(len(drive)) for drive in (query, reference)]
        truth = same_place_by_position(np.asarray(at[0]), np.asarray(at[1]), rule.tolerance)
        text = _frames_text(rule.tolerance)
    return RoutePair(
        spec.name, spec.title, query, reference, truth, text, found.layout.name, *positions
    )


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
