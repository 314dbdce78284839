# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
r"""A network's trained values and their file, which is as small as the paper says.

The `.fnet` file, all values little-endian:

    offset  bytes  content
         0      8  magic: 89 46 4E 45 54 0D 0A 1A (\x89 FNET CR LF \x1a)
         8      2  format version, uint16: 1
        10      2  bits per weight, uint16: 1, 2, 4 or 8
        12      2  padding value of SAME convolutions, int16: 1 or 0
        14      2  reserved, 0
        16     16  network name, ASCII, padded with zero bytes
        32     32  SHA-256 of bytes 0 to 31 and of everything from byte 64 on
        64         for each convolution, first to last:
                     scale, float32 per input channel     } the BatchNorm in front of it, folded;
                     shift, float32 per input channel     } not for the first convolution
                     filters, k bits a weight in the order out, kernel row, kernel column, in;
                       least significant bit first. Code c of 0 to 2^k - 1 is the weight
                       2 c / (2^k - 1) - 1: for one bit, 1 = +1 and 0 = -1

There is nothing between these parts or behind the last. FloppyNet takes 64 + 157,700 bytes,
FloppyNet-2, -4 and -8 take 64 + 312,584, 622,352 and 1,241,888. Activations have as many bits as
weights; what quantises them is BatchNorm and a grid that the number of bits alone decides.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import open_file, user_path, write_atomically
from floppynet_vpr.network.bits import (
    highest_level,
    pack_weights,
    unpack_weights,
    weight_dtype,
)
from floppynet_vpr.network.layers import NETWORKS, NetworkSpec, filter_shapes, output_shape
from floppynet_vpr.network.network import Shape

MAGIC = b"\x89FNET\r\n\x1a"
VERSION = 1
_HEAD = struct.Struct("<8sHHhH16s")
_DIGEST_BYTES = 32
HEADER_BYTES = _HEAD.size + _DIGEST_BYTES
STORED_BITS = (1, 2, 4, 8)
LARGEST_NORM = float(2**20)
"""Largest BatchNorm value of a k-bit network; real ones are smaller by orders of magnitude."""

_SHIPPED = Path(__file__).parent.parent / "weights"
SHIPPED_WEIGHTS = _SHIPPED / "floppynet.fnet"
"""The weights that the package carries and uses by default."""


class WeightsError(VprError):
    """A weights file that cannot be used, or values that do not fit the network."""


@dataclass(frozen=True)
class ConvWeights:
    """One convolution and the folded BatchNorm in front of it (none before the first).

    `filters` is (out, kernel, kernel, in) of odd integers, in units of 1 / (2**bits - 1): int8 of
    +-1 in a binary network, else see `bits.weight_dtype`. `scale` and `shift` are (in,) float32
    and act on the input as `scale * x + shift`; the quantiser of activations follows: sign, or
    `thresholds.LevelThresholds`.
    """

    filters: NDArray[Any]
    scale: NDArray[np.float32] | None = None
    shift: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class NetworkWeights:
    """A binary or k-bit network with its trained values, convolutions by name."""

    spec: NetworkSpec
    padding_value: int
    convs: Mapping[str, ConvWeights]

    def __post_init__(self) -> None:
        """Check that the values fit the layer table; raises `WeightsError` where not."""
        if self.bits not in STORED_BITS or self.bits != self.spec.activation_bits:
            raise WeightsError(
                f"{self.spec.title} has weights of {self.bits} bits: only networks of 1, 2, 4 or "
                "8 bits have a weights file"
            )
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
            if conv.filters.shape != shape or not _on_grid(conv.filters, self.bits):
                raise WeightsError(
                    f"{name}: filters of shape {conv.filters.shape}, expected {shape} of odd "
                    f"numbers within +-{highest_level(self.bits)}"
                )
            for values in (conv.scale, conv.shift):
                if (values is None) != (index == 0):
                    raise WeightsError(f"{name}: BatchNorm belongs to all but the first conv")
                if values is not None and (
                    values.shape != shape[3:] or not np.all(np.isfinite(values))
                ):
                    raise WeightsError(f"{name}: BatchNorm needs {shape[3]} finite values")
                if values is not None and self.bits > 1 and np.abs(values).max() > LARGEST_NORM:
                    raise WeightsError(f"{name}: BatchNorm values lie within +-{LARGEST_NORM:.0f}")

    @property
    def name(self) -> str:
        """The network's name, a key of `layers.NETWORKS`."""
        return self.spec.name

    @property
    def title(self) -> str:
        """What people call the network."""
        return self.spec.title

    @property
    def shape(self) -> Shape:
        """The feature map that a descriptor is: (6, 6, 256)."""
        return output_shape(self.spec)

    @property
    def bits(self) -> int:
        """Bits of a weight, and of an activation: 1, 2, 4 or 8."""
        return self.spec.weight_bits

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
            parts.append(pack_weights(conv.filters, self.bits).tobytes())
        body = b"".join(parts)
        return head + hashlib.sha256(head + body).digest() + body

    def save(self, path: Path) -> None:
        """Write the weights file, atomically; raises VprError when the disk does not take it."""
        write_atomically(path, (self.to_bytes(),))


def shipped_weights() -> dict[str, Path]:
    """The weights files that the package carries, by the name of their network."""
    files = {name: _SHIPPED / f"{name}.fnet" for name in NETWORKS}
    return {name: file for name, file in files.items() if file.is_file()}


def weights_path(text: str) -> Path:
    """The weights file that is meant: one the package carries, by its network's name, or a path.

    `floppynet-4` is the package's own, `./floppynet-4` a file here. Whether a path is a file is
    left to `load_weights`.
    """
    return shipped_weights().get(text) or user_path(text)


def load_weights(path: Path | None = None) -> NetworkWeights:
    """Read a weights file; None stands for FloppyNet's weights that the package carries.

    Raises `WeightsError` naming the file when it is missing, foreign, damaged or of another
    version. Only numpy is needed, nothing is executed.
    """
    path = SHIPPED_WEIGHTS if path is None else Path(path)
    try:
        with open_file(path) as file:
            content = file.read()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights file {path}: {error.strerror}; name a .fnet file, or one "
            f"that the package carries: {', '.join(shipped_weights())}"
        ) from None
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
    """Bytes of a network's values without the header: 157,700 for FloppyNet (Table III)."""
    shapes = list(filter_shapes(spec).values())
    weights = sum(math.prod(shape) for shape in shapes)
    return weights * spec.weight_bits // 8 + 8 * sum(shape[3] for shape in shapes[1:])


def _on_grid(filters: NDArray[Any], bits: int) -> bool:
    if filters.dtype != weight_dtype(bits):
        return False
    return bool((filters % 2 == 1).all() and np.abs(filters).max() <= highest_level(bits))


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
        packed = take("u1", count * spec.weight_bits // 8).astype(np.uint8)
        filters = unpack_weights(packed, spec.weight_bits, count).reshape(shape)
        convs[name] = ConvWeights(filters, *affine)
    return convs
