# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a folder of image files, in the order a person would number them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from floppynet_vpr.datasets.frames import Frame, natural_key, stamp_of
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.payload import ImageError, decode_compressed
from floppynet_vpr.text import utf_8

IMAGE_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm"),
)
"""Suffixes of the files taken for images, in lower or upper case."""


class ImageFolder:
    """The images of one folder, not of its sub-folders, in natural order."""

    def __init__(self, folder: Path, *, rate_hz: float = 10.0, every: int = 1) -> None:
        """List the folder; the images themselves are read while iterating.

        Args:
            folder: where the images are.
            rate_hz: frames per second; the k-th image of the folder gets the stamp k / rate_hz.
            every: take every n-th image.

        Raises:
            VprError: the folder holds no images, or cannot be read.
        """
        self.label = folder.name or str(folder)
        self._rate_hz = rate_hz
        self._every = every
        self._files = list_images(folder)
        if not self._files:
            raise VprError(_why_empty(folder))

    def __len__(self) -> int:
        return len(self._files[:: self._every])

    def __iter__(self) -> Iterator[Frame]:
        return (load() for load in self.pending())

    def pending(self) -> Iterator[Callable[[], Frame]]:
        """Give the functions that read the frames; see `FrameSource`."""
        for index in range(0, len(self._files), self._every):
            yield partial(self.frame, index)

    def frame(self, index: int) -> Frame:
        """Read the image with this number in the folder; raises VprError if that fails."""
        file = self._files[index]
        try:
            data = file.read_bytes()
            rgb = decode_compressed(data)
        except OSError as error:
            raise VprError(f"cannot read {file}: {error.strerror}") from error
        except ImageError as error:
            raise ImageError(error.kind, f"cannot read the image {file}: {error}") from error
        return Frame(utf_8(file.name), stamp_of(index, self._rate_hz), rgb, data)


def list_images(folder: Path) -> list[Path]:
    """List a folder's image files in natural order; hidden ones are left out.

    Raises:
        VprError: the folder cannot be listed.
    """
    try:
        files = [
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in IMAGE_SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    except OSError as error:
        raise VprError(f"cannot list {folder}: {error.strerror}") from error
    return sorted(files, key=lambda file: natural_key(file.name))


def _why_empty(folder: Path) -> str:
    """Say what to do, naming the sub-folders that do hold images."""
    entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    promising = [entry.name for entry in entries if entry.is_dir() and list_images(entry)]
    if promising:
        shown = ", ".join(promising[:8]) + (", ..." if len(promising) > 8 else "")
        return f"{folder} holds no images itself; name one of its sub-folders: {shown}"
    return f"{folder} holds no images (looked for {', '.join(IMAGE_SUFFIXES)})"
