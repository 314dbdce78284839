# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A traverse on a disk: some or all frames of a folder, a video or a bag, known by number.

Evaluation takes samples of long traverses; of a folder only the chosen images are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from floppynet_vpr.datasets.bag_view import looks_like_bag
from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.folder import ImageFolder, list_images
from floppynet_vpr.datasets.frames import Frame, stamp_of
from floppynet_vpr.datasets.sources import frames_in, open_source


@dataclass(frozen=True)
class Traverse:
    """Frames of one source.

    `label` is what people call the traverse, `names` what each of its frames is called, and
    `indices` are the numbers of the frames in the source, ascending.
    """

    label: str
    path: Path
    names: tuple[str, ...]
    indices: tuple[int, ...]
    rate_hz: float = 10.0
    topic: str | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def frames(self) -> Iterator[Frame]:
        """Read the frames in order; raises VprError where one cannot be read."""
        return (load() for load in self.pending())

    def pending(self) -> Iterator[Callable[[], Frame]]:
        """Give for each frame, in order, the function that decodes it; see `FrameSource`."""
        source = open_source(self.path, topic=self.topic, rate_hz=self.rate_hz)
        return source.pending(self.indices)

    def only(self, positions: Sequence[int]) -> Traverse:
        """The same traverse with the frames at these positions (of this traverse) only."""
        return replace(
            self,
            names=tuple(self.names[p] for p in positions),
            indices=tuple(self.indices[p] for p in positions),
        )

    def spread(self, count: int) -> Traverse:
        """The same traverse with `count` of its frames, evenly spread from first to last."""
        if count >= len(self):
            return self
        return self.only([round(at) for at in np.linspace(0, len(self) - 1, count).tolist()])

    def stamps_ns(self) -> list[int]:
        """When the frames were taken, nanoseconds; of a video they are all decoded for that."""
        source = open_source(self.path, topic=self.topic, rate_hz=self.rate_hz)
        if isinstance(source, ImageFolder):
            return [stamp_of(index, self.rate_hz) for index in self.indices]
        if isinstance(source, BagFrames):
            return source.stamps_ns(self.indices)
        return [frame.stamp_ns for frame in self.frames()]

    @property
    def fingerprint(self) -> str:
        """Which frames these are: changes when a file does, or the choice of frames."""
        files = [self.path] if self.path.is_file() else sorted(self.path.iterdir())
        digest = hashlib.sha256(repr((str(self.path.resolve()), self.topic)).encode())
        for file in files:
            status = file.stat()
            digest.update(repr((file.name, status.st_size, status.st_mtime_ns)).encode())
        digest.update(repr(self.indices).encode())
        return digest.hexdigest()


def open_traverse(
    path: Path, *, label: str | None = None, topic: str | None = None, rate_hz: float = 10.0
) -> Traverse:
    """Look at a folder, a video or a bag, of which `topic` is; raises VprError as `open_source`."""
    topic = topic if looks_like_bag(path) else None
    source = open_source(path, topic=topic, rate_hz=rate_hz)
    count = frames_in(source)
    if path.is_dir() and not looks_like_bag(path):
        names = tuple(file.name for file in list_images(path))
    else:
        names = tuple(f"{source.label}#{index:06d}" for index in range(count))
    return Traverse(label or source.label, path, names, tuple(range(count)), rate_hz, topic)
