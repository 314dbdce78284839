# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Two drives along the same way as two bags, together with what is known about their frames.

A bag holds images and stamps; where each of them was taken stands in a small JSON file beside it,
which also says what the bag was made from, so that it need not be made twice.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from floppynet_vpr.datasets.bags import CODECS, default_topic, natural_encoding, write_bag
from floppynet_vpr.datasets.folder import list_images
from floppynet_vpr.datasets.frames import Frame, natural_key
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError

RATE_HZ = 10.0
"""Images per second in the bags."""

_STARTS_NS = {"reference": 1_780_315_200_000_000_000, "query": 1_780_345_800_000_000_000}
"""First stamps, noon and half past eight in the evening: two drives never share a stamp."""

Progress = Callable[[Iterable[Frame], int, str], Iterable[Frame]]
"""Wraps the frames of a drive (their number, its label) to show how far it has come."""


@dataclass(frozen=True)
class Traverse:
    """Frames of one drive: what they are called, when and where they were taken.

    `positions`: (n,) in `unit`, "m" along the route or "frames" where a drive only has an order.
    """

    label: str
    names: tuple[str, ...]
    stamps_ns: tuple[int, ...]
    positions: tuple[float, ...]
    unit: str

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class TraverseBag:
    """A drive as a rosbag2 with one image topic; `made` tells whether it was written just now."""

    path: Path
    encoding: str
    traverse: Traverse
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

    def facts(names: tuple[str, ...], stamps: tuple[int, ...]) -> Traverse:
        return Traverse(folder.name, names, stamps, tuple(map(float, range(len(names)))), "frames")

    frames = progress(source, len(source), source.label)
    return keep_bag(frames, out, role, encoding, recipe, facts)


def choose_traverses(
    data: Path, reference: str | None = None, query: str | None = None
) -> tuple[Path, Path]:
    """The two folders of images below `data`: reference and query.

    Exactly two need no names: the first in natural order is the reference.

    Raises:
        VprError: names the folders there are, where it is not clear which two are meant.
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
    encoding: str,
    recipe: str,
    facts: Callable[[tuple[str, ...], tuple[int, ...]], Traverse],
) -> TraverseBag:
    """Write the bag and the file beside it, unless both are there and made by the same recipe."""
    beside = out.with_name(f"{out.name}.json")
    known = _read(beside, recipe)
    if known is not None and (out / "metadata.yaml").is_file():
        return TraverseBag(out, encoding, known, made=False)
    beside.unlink(missing_ok=True)
    names: list[str] = []
    stamps: list[int] = []

    def noting() -> Iterator[Frame]:
        for frame in frames:
            names.append(frame.name)
            stamps.append(_STARTS_NS[role] + frame.stamp_ns)
            yield frame

    write_bag(
        noting(), out, encoding=encoding, storage="mcap", start_ns=_STARTS_NS[role], force=True
    )
    traverse = facts(tuple(names), tuple(stamps))
    text = json.dumps({"recipe": recipe, "traverse": asdict(traverse)}, indent=1)
    unfinished = beside.with_suffix(".json.part")
    unfinished.write_text(text + "\n", "utf-8")
    os.replace(unfinished, beside)
    return TraverseBag(out, encoding, traverse, made=True)


def _read(beside: Path, recipe: str) -> Traverse | None:
    """What is known about a bag, if it was made by this recipe."""
    try:
        content = json.loads(beside.read_text("utf-8"))
        facts = content["traverse"]
        if content["recipe"] != recipe:
            return None
        return Traverse(
            label=str(facts["label"]),
            names=tuple(map(str, facts["names"])),
            stamps_ns=tuple(map(int, facts["stamps_ns"])),
            positions=tuple(map(float, facts["positions"])),
            unit=str(facts["unit"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digest(*parts: object) -> str:
    """What a bag was made from, as one string, to tell whether it has to be made again."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
