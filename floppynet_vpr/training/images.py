# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled images to train on: a tree of folders, or npz shards of encoded images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.folder import list_images
from floppynet_vpr.imaging.payload import ImageError, decode_compressed
from floppynet_vpr.training.recipe import TrainingError


class LabelledImages(Protocol):
    """Images with a class each."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        ...

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each image, (n,)."""
        ...

    def encoded(self, index: int) -> NDArray[np.uint8]:
        """Give the file content of one image, (bytes,) uint8."""
        ...

    def name(self, index: int) -> str:
        """Say where one image is."""
        ...


@dataclass(frozen=True)
class Shards:
    """Images in npz files: `webp` (bytes one after the other), `offsets` (n + 1), `labels` (n)."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    _contents: tuple[NDArray[np.uint8], ...] = field(repr=False)
    _places: NDArray[np.int64] = field(repr=False)

    def encoded(self, index: int) -> NDArray[np.uint8]:
        """Give the file content of one image, (bytes,) uint8."""
        shard, start, end = self._places[index]
        return self._contents[shard][start:end]

    def name(self, index: int) -> str:
        """Say where one image is."""
        shard, start, _ = self._places[index]
        return f"{self.files[shard]}, byte {start}"


@dataclass(frozen=True)
class ImageTree:
    """A folder of image files below each class's folder, at any depth (Places365's layout)."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]

    def encoded(self, index: int) -> NDArray[np.uint8]:
        """Give the file content of one image, (bytes,) uint8."""
        return np.fromfile(self.files[index], np.uint8)

    def name(self, index: int) -> str:
        """Say where one image is."""
        return str(self.files[index])


def open_images(data: Path, part: str) -> LabelledImages:
    """Open the part `train` or `val` of a data folder: a tree below `part`, or `part*.npz`.

    Raises:
        TrainingError: neither is there, or a shard is damaged; tells what was looked for.
    """
    shards = sorted(data.glob(f"{part}*.npz"))
    if shards:
        return _open_shards(shards, data / "classes.txt")
    if (data / part).is_dir():
        return _open_tree(data / part)
    raise TrainingError(
        f"{data} has neither a folder '{part}' with a folder of images for each class, nor shards "
        f"{part}*.npz: name the folder that holds them"
    )


def _open_shards(files: list[Path], class_file: Path) -> Shards:
    contents, labels, places = [], [], []
    for shard, file in enumerate(files):
        try:
            with np.load(file) as arrays:
                webp, offsets = arrays["webp"], arrays["offsets"]
                labels.append(arrays["labels"].astype(np.int64))
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"{file} is not a shard of images: {error}") from None
        if len(offsets) != len(labels[-1]) + 1 or offsets[-1] > len(webp):
            raise TrainingError(f"{file} is damaged: its offsets do not fit its images")
        contents.append(webp)
        places.append(
            np.stack([np.full(len(offsets) - 1, shard), offsets[:-1], offsets[1:]], axis=1)
        )
    every = np.concatenate(labels)
    names = class_file.read_text("utf-8").split() if class_file.is_file() else []
    names = names or [str(label) for label in range(int(every.max()) + 1)]
    if every.max() >= len(names):
        raise TrainingError(f"{class_file} names {len(names)} classes, labels go to {every.max()}")
    return Shards(
        tuple(files),
        tuple(names),
        every,
        tuple(contents),
        np.concatenate(places).astype(np.int64),
    )


def _open_tree(folder: Path) -> ImageTree:
    folders = sorted(entry for entry in folder.rglob("*") if entry.is_dir())
    found = {str(entry.relative_to(folder)): list_images(entry) for entry in folders}
    classes = tuple(name for name, files in found.items() if files)
    if not classes:
        raise TrainingError(f"{folder} holds no folders of images, one for each class")
    files = tuple(file for name in classes for file in found[name])
    counts = [len(found[name]) for name in classes]
    return ImageTree(files, classes, np.repeat(np.arange(len(classes)), counts).astype(np.int64))


class PixelCache:
    """Decoded images of one size; kept in memory while `limit_bytes` allows, else read again.

    They are kept in one array, of which the system gives what is filled. Each in a block of its own
    would lie scattered between the arrays of the training steps, and the heap grow without end.
    """

    def __init__(self, images: LabelledImages, side: int, limit_bytes: int) -> None:
        """Prepare for images of (side, side, 3), resized where a file has another size."""
        self.images, self.side = images, side
        room = min(limit_bytes // (side * side * 3), len(images.labels))
        self._kept = np.empty((room, side, side, 3), np.uint8)
        self._rows: dict[int, int] = {}

    def batch(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Give images as (n, 3, side, side) uint8 RGB; raises TrainingError naming a bad one."""
        pixels = np.empty((len(indices), self.side, self.side, 3), np.uint8)
        for row, index in enumerate(indices.tolist()):
            kept = self._rows.get(index)
            pixels[row] = self._decode(index) if kept is None else self._kept[kept]
            if kept is None and len(self._rows) < len(self._kept):
                self._kept[len(self._rows)] = pixels[row]
                self._rows[index] = len(self._rows)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    def _decode(self, index: int) -> NDArray[np.uint8]:
        try:
            image = decode_compressed(self.images.encoded(index).tobytes())
        except (OSError, ImageError) as error:
            raise TrainingError(f"cannot read {self.images.name(index)}: {error}") from None
        return resized(image, self.side)


def resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize an image, (H, W, 3), to (side, side, 3), whatever its shape was."""
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
