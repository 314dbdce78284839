# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Two traverses along the same way as two bags, which are not made twice.

A bag holds images and stamps. What it was made from stands in a small JSON file beside it; where
each image was taken, if that is known, in a CSV file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from floppynet_vpr.datasets.bags import CODECS, default_topic, natural_encoding, write_bag
from floppynet_vpr.datasets.folder import list_images
from floppynet_vpr.datasets.frames import Frame, Progress, natural_key, stamp_of
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import write_atomically

RATE_HZ = 10.0
"""Images per second in the bags."""

_STARTS_NS = {
    "reference": 1_780_315_200_000_000_000,
    "query": 1_780_345_800_000_000_000,
    "detour": 1_780_349_400_000_000_000,
    "third": 1_780_328_700_000_000_000,
}
"""First stamps: noon, half past eight and half past nine in the evening, a quarter to four.

Drives never share a stamp.
"""

_DETOUR_IMAGES = 40


@dataclass(frozen=True)
class TraverseBag:
    """A traverse as a rosbag2 with one image topic; `made` tells whether it was written just now.

    `positions` is a file with the metres along the route at which each image was taken, None where
    a traverse only has an order.
    """

    path: Path
    label: str
    encoding: str
    positions: Path | None
    made: bool

    @property
    def topic(self) -> str:
        """The bag's image topic."""
        return default_topic(self.encoding)

    @property
    def compressed(self) -> bool:
        """Whether the images are sensor_msgs/CompressedImage."""
        return self.encoding in CODECS


def folder_bag(folder: Path, role: str, out: Path, progress: Progress) -> TraverseBag:
    """The images of a folder, in natural order, as a bag (mcap); kept if it is there already.

    JPEG and PNG files go into the bag as they are, others as raw images. Raises VprError when there
    are no images, one cannot be read, or the disk does not take the bag.
    """
    source = open_source(folder, rate_hz=RATE_HZ)
    files = list_images(folder)
    encoding = natural_encoding(file.name for file in files)
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    recipe = digest(str(folder.resolve()), stats, encoding, role)
    frames = progress(source, len(source), source.label)
    return keep_bag(frames, out, role, folder.name, encoding, recipe)


def detour_bag(
    driven: TraverseBag,
    frames: Iterable[Frame],
    positions: Sequence[float],
    out: Path,
    progress: Progress,
) -> tuple[TraverseBag, int]:
    """The end of a drive, then its beginning backwards, as a bag: carried off, against the way.

    Each part has 40 images, or half of them all. Also returns how many the first part has.
    `frames` are those of the `driven` bag, in order; `positions` are the metres along the route.
    """
    count = len(positions)
    part = min(_DETOUR_IMAGES, count // 2)
    order = [*range(count - part, count), *range(part - 1, -1, -1)]
    recipe = digest(_recipe(driven.path.with_name(f"{driven.path.name}.json")), order)

    def taken() -> Iterator[Frame]:
        kept = {number: frame for number, frame in enumerate(frames) if number in order}
        for index, number in enumerate(order):
            yield replace(kept[number], stamp_ns=stamp_of(index, RATE_HZ))

    images = progress(taken(), len(order), out.name)
    where = [positions[number] for number in order]
    return keep_bag(images, out, "detour", out.name, "bgr8", recipe, where), part


def choose_traverses(
    data: Path, reference: str | None = None, query: str | None = None
) -> tuple[Path, Path]:
    """The two folders of images below `data`: reference and query.

    Exactly two need no names: the first in natural order is the reference. Raises VprError, naming
    the folders there are, where it is not clear which two are meant.
    """
    if not data.is_dir():
        raise VprError(f"{data} is no folder: name one with two folders of images in it")
    folders = sorted(
        (entry for entry in data.iterdir() if entry.is_dir() and list_images(entry)),
        key=lambda entry: natural_key(entry.name),
    )
    found = ", ".join(folder.name for folder in folders) or "none"
    for name in (reference, query):
        if name is not None and data / name not in folders:
            raise VprError(f"{data / name} is no folder of images; in {data} there are: {found}")
    if reference is not None and reference == query:
        raise VprError(f"reference and query are both {reference}: name two different folders")
    if len(folders) < 2:
        raise VprError(
            f"{data} should hold two folders of images, one for each drive; has: {found}"
        )
    if len(folders) > 2 and (reference is None or query is None):
        raise VprError(
            f"{data} holds more than two drives ({found}): say which two, with --reference NAME "
            "(the map) and --query NAME (the drive to be recognised)"
        )
    names = [folder.name for folder in folders]
    if reference is None:
        reference = next(name for name in names if name != query)
    if query is None:
        query = next(name for name in names if name != reference)
    return data / reference, data / query


def keep_bag(
    frames: Iterable[Frame],
    out: Path,
    role: str,
    label: str,
    encoding: str,
    recipe: str,
    positions: Sequence[float] | None = None,
) -> TraverseBag:
    """Write the bag and the files beside it, unless they are there and made by the same recipe."""
    beside = out.with_name(f"{out.name}.json")
    where = None if positions is None else out.with_name(f"{out.name}.csv")
    kept = _recipe(beside) == recipe and (out / "metadata.yaml").is_file()
    if not (kept and (where is None or where.is_file())):
        beside.unlink(missing_ok=True)
        start_ns = _STARTS_NS[role]
        write_bag(frames, out, encoding=encoding, storage="mcap", start_ns=start_ns, force=True)
        if where is not None and positions is not None:
            lines = "".join(f"{at!r}\n" for at in positions)
            write_atomically(where, (b"x\n", lines.encode()))
        write_atomically(beside, (json.dumps({"recipe": recipe}).encode(),))
        kept = False
    return TraverseBag(out, label, encoding, where, made=not kept)


def _recipe(beside: Path) -> str | None:
    """What a bag was made by, None where that is not known."""
    try:
        return str(json.loads(beside.read_text("utf-8"))["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digest(*parts: object) -> str:
    """What a bag was made from, as one string, to tell whether it has to be made again."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
