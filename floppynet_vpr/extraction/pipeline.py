# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Describes a stream of frames on all cores, in order, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.ahead import ahead
from floppynet_vpr.extraction.extractor import Extractor
from floppynet_vpr.extraction.local_features import LocalFeatures, extract_features
from floppynet_vpr.extraction.threads import set_threads
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.imaging.thumbnail import make_thumbnail


class NamedImage(Protocol):
    """A frame as a map needs it; `rgb` is (H, W, 3) uint8."""

    @property
    def name(self) -> str:
        """Where the frame came from: a file, or a topic and index."""

    @property
    def stamp_ns(self) -> int:
        """When it was taken, in nanoseconds."""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The image."""


@dataclass(frozen=True)
class DescribedFrame:
    """A frame's name, stamp, (d,) float32 descriptor and, if wanted, what is kept beside it.

    That is its local features and its thumbnail (`imaging.thumbnail`).
    """

    name: str
    stamp_ns: int
    descriptor: NDArray[np.float32]
    features: LocalFeatures | None = None
    thumbnail: bytes | None = None


def describe_frames(
    pending: Iterable[Callable[[], NamedImage]],
    extractors: Sequence[Extractor],
    features: int = 0,
    skipped: Callable[[ImageError], object] | None = None,
    thumbnails: bool = False,
) -> Iterator[DescribedFrame]:
    """Load and describe frames, as many at once as there are extractors, and yield them in order.

    `pending` gives for each frame the function that loads it; that runs in a thread, since
    decoding an image often takes longer than its descriptor. Only a few frames are in memory at
    any time. With `features` above 0 up to so many local features of each are found, too. Errors of
    loading are raised when the frame's turn comes; those of pictures that cannot be decoded are
    told to `skipped` instead, where it is given, and the next frame follows. With `thumbnails`
    one is made of each frame.
    """
    idle: SimpleQueue[Extractor] = SimpleQueue()
    for extractor in extractors:
        idle.put(extractor)

    def work(load: Callable[[], NamedImage]) -> DescribedFrame:
        frame = load()
        extractor = idle.get()
        try:
            rgb = frame.rgb
            local = extract_features(rgb, features) if features else None
            small = make_thumbnail(rgb) if thumbnails else None
            descriptor = extractor.describe(rgb)
            return DescribedFrame(frame.name, frame.stamp_ns, descriptor, local, small)
        finally:
            idle.put(extractor)

    one_thread = partial(set_threads, 1)
    for result in ahead((partial(work, load) for load in pending), len(extractors), one_thread):
        try:
            described = result()
        except ImageError as error:
            if skipped is None:
                raise
            skipped(error)
        else:
            yield described
