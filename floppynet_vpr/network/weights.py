# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
r"""A network's trained values and their file, which is as small as the paper says.

The `.fnet` file, all values little-endian:

    offset  bytes  content
         0      8  magic: 89 46 4E 45 54 0D 0A 1A (\x89 FNET CR LF \x1a)
         8      2  format version, uint16: 1
        10      2  bits per weight, uint16: 1
        12      2  padding value of SAME convolutions, int16: 1 or 0
        14      2  reserved, 0
        16     16  network name, ASCII, padded with zero bytes
        32     32  SHA-256 of bytes 0 to 31 and of everything from byte 64 on
        64         for each convolution, first to last:
                     scale, float32 per input channel     } the BatchNorm in front of it, folded;
                     shift, float32 per input channel     } not for the first convolution
                     filters, one bit a weight in the order out, kernel row, kernel column, in;
                       least significant bit first, bit 1 = +1, bit 0 = -1

There is nothing between these parts or behind the last. FloppyNet takes 64 + 157,700 bytes.
The SHA-256 is also the fingerprint by which a map knows the weights it was built with.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import write_atomically
from floppynet_vpr.network.bits import pack_signs, unpack_signs
from floppynet_vpr.network.layers import NETWORKS, NetworkSpec, filter_shapes

MAGIC = b"\x89FNET\r\n\x1a"
VERSION = 1
_HEAD = struct.Struct("<8sHHhH16s")
_DIGEST_BYTES = 32
HEADER_BYTES = _HEAD.size + _DIGEST_BYTES

SHIPPED_WEIGHTS = Path(__file__).parent.parent / "weights" / "floppynet.fnet"
"""The weights that the package carries and uses by default."""


class WeightsError(VprError):
    """A weights file that cannot be used, or values that do not fit the network."""


@dataclass(frozen=True)
class ConvWeights:
    """One convolution and the folded BatchNorm in front of it (none before the first).

    `filters` is (out, kernel, kernel, in) int8 of +-1; `scale` and `shift` are (in,) float32 and
    act on the input as `scale * x + shift`, sign follows.
    """

    filters: NDArray[np.int8]
    scale: NDArray[np.float32] | None = None
    shift: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class NetworkWeights:
    """A binary network of the family with its trained values, convolutions by name."""

    spec: NetworkSpec
    padding_value: int
    convs: Mapping[str, ConvWeights]

    def __post_init__(self) -> None:
        """Check that the values fit the layer table; raises `WeightsError` where not."""
        if self.spec.weight_bits != 1:
            raise WeightsError(f"{self.spec.title} is not a binary network: no such weights file")
        if self.padding_value not in (0, 1):
            raise WeightsError(f"padding value {self.padding_value}: it must be 0 or +1")
        shapes = filter_shapes(self.spec)
        if list(self.convs) != list(shapes):
            raise WeightsError(
                f"{self.spec.title} has the convolutions {', '.join(shapes)}, "
                f"not {', '.join(self.convs)}"
            )
        for index, (name, shape) in enumerate(shapes.items()):
            conv = self.convs[name]
            if conv.filters.shape != shape or not np.all(np.abs(conv.filters) == 1):
                raise WeightsError(
                    f"{name}: filters of shape {conv.filters.shape}, expected {shape} of +-1"
                )
            for values in (conv.scale, conv.shift):
                if (values is None) != (index == 0):
                    raise WeightsError(f"{name}: BatchNorm belongs to all but the first conv")
                if values is not None and (
                    values.shape != shape[3:] or not np.all(np.isfinite(values))
                ):
                    raise WeightsError(f"{name}: BatchNorm needs {shape[3]} finite values")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, 64 hexadecimal digits, equal to the file's."""
        return self.to_bytes()[_HEAD.size : HEADER_BYTES].hex()

    def to_bytes(self) -> bytes:
        """Return the content of the weights file."""
        name = self.spec.name.encode("ascii")
        head = _HEAD.pack(MAGIC, VERSION, self.spec.weight_bits, self.padding_value, 0, name)
        parts = []
        for conv in self.convs.values():
            for values in (conv.scale, conv.shift):
                if values is not None:
                    parts.append(values.astype("<f4").tobytes())
            parts.append(pack_signs(conv.filters.reshape(-1)).tobytes())
        body = b"".join(parts)
        return head + hashlib.sha256(head + body).digest() + body

    def save(self, path: Path) -> None:
        """Write the weights file, atomically; raises VprError when the disk does not take it."""
        write_atomically(path, (self.to_bytes(),))


def load_weights(path: Path | None = None) -> NetworkWeights:
    """Read a weights file; None stands for the weights that the package carries.

    Raises `WeightsError` naming the file when it is missing, foreign, damaged or of another
    version. Only numpy is needed, nothing is executed.
    """
    path = SHIPPED_WEIGHTS if path is None else Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the weights file {path}: {error.strerror}") from None
    return parse_weights(content, str(path))


def parse_weights(content: bytes, origin: str) -> NetworkWeights:
    """Turn the content of a weights file into `NetworkWeights`; `origin` is for messages."""
    if content[: len(MAGIC)] != MAGIC or len(content) < HEADER_BYTES:
        raise WeightsError(
            f"{origin} is not a .fnet weights file; the authors' .tflite files are read with "
            "'ros2 run floppynet_vpr import_weights FILE.tflite OUT.fnet'"
        )
    _, version, bits, padding_value, _, name_field = _HEAD.unpack_from(content)
    if version != VERSION:
        raise WeightsError(
            f"{origin} has weights format {version}, this release reads format {VERSION}: "
            "update floppynet_vpr or make the file again"
        )
    head, body = content[: _HEAD.size], content[HEADER_BYTES:]
    if hashlib.sha256(head + body).digest() != content[_HEAD.size : HEADER_BYTES]:
        raise WeightsError(f"{origin} is damaged (its checksum does not match): copy it again")
    name = name_field.rstrip(b"\0").decode("ascii", "replace")
    spec = NETWORKS.get(name)
    if spec is None or spec.weight_bits != bits:
        raise WeightsError(f"{origin} holds '{name}' with {bits} bits, which is not known here")
    if len(body) != body_bytes(spec):
        raise WeightsError(
            f"{origin} has {len(body)} bytes of weights, {spec.title} has {body_bytes(spec)}"
        )
    return NetworkWeights(spec, padding_value, _parse_body(spec, body))


def body_bytes(spec: NetworkSpec) -> int:
    """Bytes of a binary network's values without the header: 157,700 for FloppyNet (Table III)."""
    shapes = list(filter_shapes(spec).values())
    return sum(math.prod(shape) for shape in shapes) // 8 + 8 * sum(s[3] for s in shapes[1:])


def _parse_body(spec: NetworkSpec, body: bytes) -> dict[str, ConvWeights]:
    convs: dict[str, ConvWeights] = {}
    offset = 0

    def take(dtype: str, count: int) -> NDArray[np.generic]:
        nonlocal offset
        values = np.frombuffer(body, dtype, count, offset)
        offset += values.nbytes
        return values

    for name, shape in filter_shapes(spec).items():
        affine = [take("<f4", shape[3]).astype(np.float32) for _ in range(2 if convs else 0)]
        count = math.prod(shape)
        packed = take("u1", count // 8).astype(np.uint8)
        convs[name] = ConvWeights(unpack_signs(packed, count).reshape(shape), *affine)
    return convs
