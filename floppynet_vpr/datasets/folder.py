# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames from a folder of image files, in the order a person would number them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from floppynet_vpr.datasets.bag_view import looks_like_bag
from floppynet_vpr.datasets.frames import Frame, Stretch, cut, natural_key, stamp_of
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.bit_depth import BitDepth, probed
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

        The k-th image of the folder gets the stamp k / rate_hz; every n-th is taken. Raises
        VprError where the folder holds no images, or cannot be read.
        """
        self.label = folder.name or str(folder)
        self._rate_hz = rate_hz
        self._every = every
        self._depth = BitDepth(self._probe)
        self._files = list_images(folder)
        if not self._files:
            raise VprError(_why_empty(folder))

    def __len__(self) -> int:
        return len(self._files[:: self._every])

    def __iter__(self) -> Iterator[Frame]:
        return (load() for load in self.pending())

    def pending(
        self, only: Sequence[int] | None = None, since_ns: int | None = None
    ) -> Iterator[Callable[[], Frame]]:
        """Give the functions that read the frames; see `FrameSource`."""
        for index in range(0, len(self._files), self._every) if only is None else only:
            yield partial(self._frame, index)

    def stretches(self, most: int) -> list[Stretch]:
        """Cut the folder; see `FrameSource`."""
        return [Stretch(run) for run in cut(range(0, len(self._files), self._every), most)]

    def _frame(self, index: int) -> Frame:
        file = self._files[index]
        try:
            data = file.read_bytes()
            rgb = decode_compressed(data, depth=self._depth)
        except OSError as error:
            raise ImageError("file", f"cannot read {file}: {error.strerror}") from error
        except ImageError as error:
            raise ImageError(error.kind, f"cannot read the image {file}: {error}") from error
        return Frame(utf_8(file.name), stamp_of(index, self._rate_hz), rgb, data)

    def _probe(self, depth: BitDepth) -> None:
        """Show `depth` images spread over the folder."""
        for index in probed(len(self._files)):
            with suppress(OSError, ImageError):
                decode_compressed(self._files[index].read_bytes(), depth=depth)


def list_images(folder: Path) -> list[Path]:
    """List a folder's image files in natural order, without hidden ones; raises VprError."""
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


def _has_images(entry: Path) -> bool:
    with suppress(VprError):  # one that may not be looked into
        return entry.is_dir() and bool(list_images(entry))
    return False


def _why_empty(folder: Path) -> str:
    """Say what to do, naming what is in the folder that does hold images."""
    entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    for kind, promising in (
        ("sub-folders", [entry.name for entry in entries if _has_images(entry)]),
        ("bags", [entry.name for entry in entries if looks_like_bag(entry)]),
    ):
        if promising:
            shown = ", ".join(promising[:8]) + (", ..." if len(promising) > 8 else "")
            return f"{folder} holds no images itself; name one of its {kind}: {shown}"
    return f"{folder} holds no images (looked for {', '.join(IMAGE_SUFFIXES)})"
