# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
r"""The map file: written whole or not at all, checked before it is used.

The `.fvm` file, all values little-endian:

    offset  bytes  content
         0      8  magic: 89 46 56 4D 0D 0A 1A 0A (\x89 FVM CR LF \x1a LF)
         8      2  format version, uint16: 1
        10      6  reserved, 0
        16      8  bytes of the JSON text, uint64, a multiple of 64
        24      8  bytes of the descriptors, uint64
        32     32  SHA-256 of bytes 0 to 31 and of everything from byte 64 on
        64         JSON text, UTF-8, padded with spaces:
                     network, fingerprint  the weights that made the descriptors
                     storage               "float32"
                     dimension             values in a descriptor
                     names, stamps_ns      one each per place, in the order of their ids
                     poses                 per place [x, y, z, qx, qy, qz, qw] or null
                   descriptors, row by row in the order of their ids
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import write_atomically
from floppynet_vpr.mapping.places import Place, Pose

MAGIC = b"\x89FVM\r\n\x1a\n"
VERSION = 1
STORAGE = "float32"
_HEAD = struct.Struct("<8sH6xQQ")
_DIGEST_BYTES = 32
_HEADER_BYTES = _HEAD.size + _DIGEST_BYTES
_ALIGNMENT = 64


class MapError(VprError):
    """A map that cannot be read, written or used."""


@dataclass(frozen=True)
class MapContent:
    """Everything a map file holds; `descriptors` is (places, dimension) float32."""

    network: str
    fingerprint: str
    places: Sequence[Place]
    descriptors: NDArray[np.float32]


def write_map(path: Path, content: MapContent) -> None:
    """Write a map file, atomically; raises VprError when the disk does not take it."""
    text = _to_json(content)
    rows = np.ascontiguousarray(content.descriptors, "<f4")
    head = _HEAD.pack(MAGIC, VERSION, len(text), rows.nbytes)
    digest = hashlib.sha256(head)
    digest.update(text)
    digest.update(rows.data)
    write_atomically(path, (head, digest.digest(), text, rows.data))


def read_map(path: Path) -> MapContent:
    """Read a map file.

    Sizes and checksum are checked before anything is used. Raises MapError with one sentence
    that names the file: missing, foreign, of another version, truncated or damaged.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return _read(file, path)
    except OSError as error:
        raise MapError(
            f"cannot read the map {path}: {error.strerror}; build one with "
            f"'ros2 run floppynet_vpr build_map SOURCE --output {path}'"
        ) from None


def _read(file: BinaryIO, path: Path) -> MapContent:
    header = file.read(_HEADER_BYTES)
    if header[: len(MAGIC)] != MAGIC:
        raise MapError(f"{path} is not a map of floppynet_vpr: give a file made by build_map")
    actual = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER_BYTES:
        raise MapError(f"{path} is cut off after {actual} bytes: copy or build it again")
    _, version, text_bytes, row_bytes = _HEAD.unpack_from(header)
    if version != VERSION:
        raise MapError(
            f"{path} has map format {version}, this release reads format {VERSION}: "
            "update floppynet_vpr or build the map again"
        )
    expected = _HEADER_BYTES + text_bytes + row_bytes
    if actual != expected:
        raise MapError(
            f"{path} has {actual} bytes where its header says {expected}: "
            "it is cut off or damaged, copy or build it again"
        )
    text = file.read(text_bytes)
    rows = np.fromfile(file, "<f4", row_bytes // 4)
    digest = hashlib.sha256(header[: _HEAD.size])
    digest.update(text)
    digest.update(rows.data)
    if digest.digest() != header[_HEAD.size :]:
        raise MapError(f"{path} is damaged (its checksum does not match): copy or build it again")
    return _from_json(text, rows, path)


def _to_json(content: MapContent) -> bytes:
    places = content.places
    poses = [None if place.pose is None else astuple(place.pose) for place in places]
    text = json.dumps(
        {
            "network": content.network,
            "fingerprint": content.fingerprint,
            "storage": STORAGE,
            "dimension": content.descriptors.shape[1],
            "names": [place.name for place in places],
            "stamps_ns": [place.stamp_ns for place in places],
            "poses": poses,
        },
        ensure_ascii=False,
    ).encode("utf-8", "surrogateescape")
    return text + b" " * (-len(text) % _ALIGNMENT)


def _from_json(text: bytes, rows: NDArray[np.float32], path: Path) -> MapContent:
    facts = json.loads(text.decode("utf-8", "surrogateescape"))
    if facts["storage"] != STORAGE:
        raise MapError(f"{path} stores descriptors as '{facts['storage']}', not known here")
    places = [
        Place(index, name, stamp, None if pose is None else Pose(*pose))
        for index, (name, stamp, pose) in enumerate(
            zip(facts["names"], facts["stamps_ns"], facts["poses"], strict=True)
        )
    ]
    descriptors = rows.reshape(len(places), facts["dimension"])
    return MapContent(facts["network"], facts["fingerprint"], places, descriptors)
