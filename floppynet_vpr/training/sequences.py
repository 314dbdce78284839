# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of drives to learn places from: neighbours show one place from two sides, others do not.

Unlike two views of one picture they differ by a camera that really moved: near things move further
than far ones, cover them and give them free. Rooms and corridors of one building that look alike
come into one batch and have to be told apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.bag_view import looks_like_bag
from floppynet_vpr.datasets.folder import list_images
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.files import user_path
from floppynet_vpr.imaging.payload import ImageError, decode_compressed
from floppynet_vpr.training.images import resized
from floppynet_vpr.training.recipe import TrainingError

FAR = 10
"""Frames of one drive that are at least so many apart may be told to be different places."""

_LAST_NUMBER = re.compile(r"[\d.]+(?=\D*$)")

Loader = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Sequences:
    """Frames of all drives one after the other, (n, 3, side, side) uint8 RGB.

    `firsts` are the frames that another one of the same drive follows, ascending.
    """

    frames: NDArray[np.uint8]
    firsts: NDArray[np.int64]

    def draw(self, count: int, chance: np.random.Generator) -> NDArray[np.uint8]:
        """Draw places, each as two frames that follow each other: (2, count, 3, side, side).

        No two places of a drive are nearer to each other than `FAR` frames. Which frame of a place
        comes first is chance, too. There may be fewer than `count` places in short drives.
        """
        within = self.firsts % FAR
        apart = self.firsts[within == chance.choice(within)]
        chosen = chance.permutation(apart)[:count]
        later = chance.integers(2, size=len(chosen))
        return np.stack([self.frames[chosen + later], self.frames[chosen + 1 - later]])


def open_sequences(
    texts: list[str],
    side: int,
    limit_bytes: int,
    skipped: Callable[[ImageError], object] | None = None,
) -> Sequences:
    """Read drives described as SOURCE[,EVERY], every EVERY-th frame, resized to `side` pixels.

    A source is a bag, a video, or a folder with images in it or below it. Files of one folder whose
    names differ in their last number only are a drive. Frames that cannot be decoded are told to
    `skipped` and left out; without it the first such frame raises.

    Raises:
        VprError: a source cannot be read, has no two frames, or all do not fit into `limit_bytes`.
    """
    drives = [drive for text in texts for drive in _drives(text)]
    needed = sum(map(len, drives)) * side * side * 3
    if needed > limit_bytes:
        raise TrainingError(
            f"the frames of --sequences take {needed / 2**30:.1f} GiB: take fewer (SOURCE,EVERY), "
            "or allow more by --cache"
        )
    frames: list[NDArray[np.uint8]] = []
    firsts: list[int] = []
    for drive in drives:
        begun = len(frames)
        for load in drive:
            try:
                frames.append(resized(load(), side))
            except ImageError as error:
                if skipped is None:
                    raise
                skipped(error)
        firsts += range(begun, len(frames) - 1)
    if not firsts:
        raise TrainingError(f"--sequences {' '.join(texts)}: no two frames follow each other")
    planes = np.stack(frames).transpose(0, 3, 1, 2)
    return Sequences(np.ascontiguousarray(planes), np.array(firsts, np.int64))


def _drives(text: str) -> list[list[Loader]]:
    """The drives of SOURCE[,EVERY], each as functions that read its frames."""
    name, comma, number = text.rpartition(",")
    numbered = bool(comma) and number.isdecimal()
    path, every = user_path(name if numbered else text), int(number) if numbered else 1
    if every < 1:
        raise TrainingError(f"'{text}': EVERY is at least 1")
    if not path.is_dir() or looks_like_bag(path):
        source = open_source(path, every=every)
        return [[partial(_rgb, load) for load in source.pending()]]
    drives: list[list[Loader]] = []
    for folder in sorted([path, *(entry for entry in path.rglob("*") if entry.is_dir())]):
        for _, files in groupby(list_images(folder), lambda file: _LAST_NUMBER.sub("", file.stem)):
            drives.append([partial(_read, file) for file in list(files)[::every]])
    if not drives:
        raise TrainingError(f"{path} holds no images, nor does a folder in it")
    return drives


def _rgb(load: Callable[[], Frame]) -> NDArray[np.uint8]:
    return load().rgb


def _read(file: Path) -> NDArray[np.uint8]:
    try:
        return decode_compressed(file.read_bytes())
    except OSError as error:
        raise TrainingError(f"cannot read {file}: {error.strerror}") from None
    except ImageError as error:
        raise ImageError(error.kind, f"cannot read the image {file}: {error}") from None
