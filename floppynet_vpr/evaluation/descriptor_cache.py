# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors of whole drives, kept on disk under fingerprints of the images and of the network.

A run that was interrupted goes on with the drive it was at, and another layer, dataset or measure
costs no images that were seen before.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.ahead import ahead
from floppynet_vpr.datasets.frames import Frame, Progress
from floppynet_vpr.datasets.traverse import Traverse
from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.describers import Describer
from floppynet_vpr.extraction.threads import set_threads
from floppynet_vpr.imaging.payload import ImageError

_VERSION = 1


@dataclass(frozen=True)
class Descriptors:
    """One layer of a drive's frames: (frames, values), flat and not normalised.

    `extraction_ms` is the median time of one core for all layers asked for together, per image.
    `used` are the positions of the frames in the drive: others could not be read.
    """

    values: NDArray[np.generic]
    extraction_ms: float
    used: tuple[int, ...]


class DescriptorCache:
    """A folder with one .npy file for each drive, network and layer, and a .json file beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def describe(
        self,
        drive: Traverse,
        network: Describer,
        progress: Progress,
        skipped: Callable[[ImageError], object] | None = None,
    ) -> Mapping[str, Descriptors]:
        """The descriptors of every frame of a drive, by layer; computes what is not there yet.

        Frames that cannot be read are told to `skipped` when that is found out, and left out.

        Raises VprError where a frame cannot be read and nothing is `skipped`, or none can be, or
        the disk does not take the descriptors.
        """
        files = {layer: self._file(drive, network, layer) for layer in network.layers}
        known = {layer: _load(file) for layer, file in files.items()}
        lacks = any(found is not None and len(found.used) < len(drive) for found in known.values())
        if None in known.values() or (lacks and skipped is None):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._compute(drive, network, files, progress, skipped)
            except OSError as error:
                raise VprError(
                    f"cannot keep descriptors in {self.folder}: {error.strerror or error}"
                ) from error
            known = {layer: _load(file) for layer, file in files.items()}
        return {layer: found for layer, found in known.items() if found is not None}

    def _file(self, drive: Traverse, network: Describer, layer: str) -> Path:
        # Layers computed together were timed together.
        together = network.layers if len(network.layers) > 1 else layer
        parts = (_VERSION, drive.fingerprint, network.fingerprint, network.how, layer, together)
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
        name = re.sub(r"[^\w.-]+", "_", f"{drive.label}_{network.label}_{layer}")
        return self.folder / f"{name}_{digest}.npy"

    def _compute(
        self,
        drive: Traverse,
        network: Describer,
        files: Mapping[str, Path],
        progress: Progress,
        skipped: Callable[[ImageError], object] | None,
    ) -> None:
        parts = {layer: file.with_suffix(".part") for layer, file in files.items()}
        arrays: dict[str, Any] = {}
        times, used = [], list[int]()
        label = f"{network.label} on {drive.label}"
        try:
            work = (partial(_describe, network, load) for load in drive.pending())
            described = ahead(work, network.at_once, partial(set_threads, 1))
            for row, result in enumerate(progress(described, len(drive), label)):
                try:
                    maps, seconds = result()
                except ImageError as error:
                    if skipped is None:
                        raise
                    skipped(error)
                    continue
                used.append(row)
                times.append(seconds)
                for layer, values in maps.items():
                    if layer not in arrays:
                        arrays[layer] = np.lib.format.open_memmap(
                            parts[layer],
                            mode="w+",
                            dtype=values.dtype,
                            shape=(len(drive), values.size),
                        )
                    arrays[layer][row] = values
            if not used:
                raise VprError(f"{drive.path} has no frame that can be used")
            milliseconds = 1e3 * float(np.median(times))
            for layer, file in files.items():
                arrays.pop(layer).flush()
                _write_note(file, drive, network, layer, milliseconds, used)
                os.replace(parts[layer], file)
        finally:
            arrays.clear()
            for part in parts.values():
                part.unlink(missing_ok=True)


def _describe(
    network: Describer, load: Callable[[], Frame]
) -> tuple[Mapping[str, NDArray[np.generic]], float]:
    """The layers of one frame, and the seconds of one core that they took."""
    rgb = load().rgb
    begun = time.thread_time()  # other threads' work is not this image's
    maps = network.describe(rgb)
    return maps, time.thread_time() - begun


def _write_note(
    file: Path,
    drive: Traverse,
    network: Describer,
    layer: str,
    milliseconds: float,
    used: Sequence[int],
) -> None:
    note = {
        "drive": str(drive.path),
        "frames": len(drive),
        "network": network.label,
        "computed_by": network.how,
        "layer": layer,
        "extraction_ms": milliseconds,
    }
    if len(used) < len(drive):
        note["used"] = used
    file.with_suffix(".json").write_text(json.dumps(note, indent=1) + "\n", "utf-8")


def _load(file: Path) -> Descriptors | None:
    """What is kept in a file, None if there is nothing sound."""
    try:
        note = json.loads(file.with_suffix(".json").read_text("utf-8"))
        values = np.load(file, mmap_mode="r", allow_pickle=False)
        if len(values) != note["frames"]:
            return None
        used = tuple(note.get("used", range(len(values))))
        values = values[list(used)] if "used" in note else values
        return Descriptors(values, float(note["extraction_ms"]), used)
    except (OSError, ValueError, KeyError, TypeError):
        return None
