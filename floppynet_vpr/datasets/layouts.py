# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Recognises a dataset's folder: which layout it is, and what is missing if it is none.

A copy counts only if it is complete: with a tenth of the images lost, every figure would still
come out, and be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from floppynet_vpr.datasets.catalogue import DatasetSpec, Layout, Pair, TraverseFiles
from floppynet_vpr.datasets.folder import IMAGE_SUFFIXES
from floppynet_vpr.datasets.frames import natural_key
from floppynet_vpr.datasets.traverse import Traverse, open_traverse
from floppynet_vpr.errors import VprError


@dataclass(frozen=True)
class FoundLayout:
    """A layout recognised in `folder`, with the drives of a pair."""

    layout: Layout
    folder: Path
    query: Traverse
    reference: Traverse


def find_layout(spec: DatasetSpec, root: Path, pair: Pair) -> FoundLayout:
    """Find a complete copy of a pair's traverses in `root`, or in the dataset's folder below it.

    Raises VprError where nothing fits; says what is there and what a complete copy has.
    """
    if not root.is_dir():
        raise VprError(f"{root} is no folder: name the one with the dataset {spec.title}")
    needed = (pair.query, pair.reference)
    incomplete: list[str] = []
    for folder in (root, *find_paths(root, spec.folders)):
        if not folder.is_dir():
            continue
        for layout in spec.layouts:
            if not all(name in layout.traverses for name in needed):
                continue
            drives = _find_drives(folder, layout, needed)
            if drives is None:
                continue
            wrong = _miscounted(layout, drives)
            if not wrong:
                return FoundLayout(layout, folder, drives[pair.query], drives[pair.reference])
            incomplete.append(f"{layout.name}: {wrong}")
    if incomplete:
        raise VprError(
            f"the copy of {spec.title} in {root} is not complete, or of another kind. Compared "
            f"with the layouts known: {'; '.join(incomplete)}"
        )
    raise VprError(_nothing_there(spec, root, needed))


def find_paths(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """What is below `folder` under these names, pattern by pattern.

    `*` stands for anything within a name, and upper and lower case are alike.
    """
    found: list[Path] = []
    for pattern in patterns:
        level = [folder]
        for part in pattern.split("/"):
            level = [
                entry
                for parent in level
                if parent.is_dir()
                for entry in sorted(parent.iterdir(), key=lambda entry: natural_key(entry.name))
                if fnmatchcase(entry.name.casefold(), part.casefold())
            ]
        found += [path for path in level if path not in found]
    return found


def _find_drives(
    folder: Path, layout: Layout, needed: tuple[str, ...]
) -> Mapping[str, Traverse] | None:
    """The drives of a layout, None if one of them is not there."""
    drives = {}
    for name in needed:
        files = layout.traverses[name]
        paths = [path for path in find_paths(folder, files.paths) if _holds_frames(path)]
        if not paths:
            return None
        drives[name] = open_traverse(
            paths[0], label=name, topic=files.topic, rate_hz=layout.rate_hz
        )
    return drives


def _holds_frames(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() not in IMAGE_SUFFIXES
    return any(path.iterdir())


def _miscounted(layout: Layout, drives: Mapping[str, Traverse]) -> str:
    """What is wrong with the numbers of frames; empty if nothing is."""
    wrong = []
    for name, drive in drives.items():
        expected = layout.traverses[name].frames
        # A video's length is its container's estimate.
        allowed = (expected or 0) // 100 if drive.path.is_file() else 0
        if expected is not None and abs(len(drive) - expected) > allowed:
            wrong.append(f"{drive.path} has {len(drive)} frames in place of {expected}")
    return ", ".join(wrong)


def _nothing_there(spec: DatasetSpec, root: Path, needed: tuple[str, ...]) -> str:
    """What was looked for, and what is there."""

    def places(files: TraverseFiles) -> str:
        return " or ".join(files.paths)

    wanted = "; ".join(
        f"{layout.name}: "
        + ", ".join(f"{name} in {places(layout.traverses[name])}" for name in needed)
        for layout in spec.layouts
        if all(name in layout.traverses for name in needed)
    )
    entries = sorted((e.name for e in root.iterdir()), key=natural_key)
    shown = ", ".join(entries[:10]) + (", ..." if len(entries) > 10 else "")
    return (
        f"{root} holds no copy of {spec.title}; it holds: {shown or 'nothing'}. Looked for "
        f"{wanted}. To get it: {spec.source}"
    )
