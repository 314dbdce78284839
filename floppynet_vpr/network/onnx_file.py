# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Writes ONNX files with numpy alone.

The `onnx` package is a large compiled dependency for what is, for a graph of a dozen nodes, a few
nested records in protocol-buffer encoding. Field numbers are those of the public onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8
OPSET = 13
ELEMENT_TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float64": 11,
}
"""What ONNX calls a dtype, in tensors and as the target of a Cast."""
_INT_ATTRIBUTE, _STRING_ATTRIBUTE, _INTS_ATTRIBUTE = 2, 3, 7

Attribute = int | str | Sequence[int]


@dataclass
class OnnxGraph:
    """An ONNX graph under construction; `to_bytes` gives the model file."""

    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    _nodes: list[bytes] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)
    _inputs: list[bytes] = field(default_factory=list)
    _outputs: list[bytes] = field(default_factory=list)

    def add_input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare a graph input; a string in `shape` is a free dimension. Returns `name`."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def add_output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Declare the value `name` a graph output."""
        self._outputs.append(_value_info(name, dtype, shape))

    def add_constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Store an array under `name`, which is returned."""
        self._constants.append(
            b"".join(_number(1, size) for size in values.shape)
            + _number(2, ELEMENT_TYPES[values.dtype.name])
            + _text(8, name)
            + _record(9, values.astype(values.dtype.newbyteorder("<")).tobytes())
        )
        return name

    def add_node(
        self, operator: str, inputs: Sequence[str], output: str, **attributes: Attribute
    ) -> str:
        """Add a node with one output, whose name is returned."""
        self._nodes.append(
            b"".join(_text(1, name) for name in inputs)
            + _text(2, output)
            + _text(3, f"{operator}:{output}")
            + _text(4, operator)
            + b"".join(_record(5, _attribute(*pair)) for pair in attributes.items())
        )
        return output

    def add_cast(self, value: str, dtype: str, output: str) -> str:
        """Add a node that changes the type of `value`; its output's name is returned."""
        return self.add_node("Cast", [value], output, to=ELEMENT_TYPES[dtype])

    def to_bytes(self) -> bytes:
        """Return the content of the .onnx file."""
        graph = (
            _records(1, self._nodes)
            + _text(2, self.name)
            + _records(5, self._constants)
            + _records(11, self._inputs)
            + _records(12, self._outputs)
        )
        properties = [_text(1, key) + _text(2, value) for key, value in self.metadata.items()]
        return (
            _number(1, IR_VERSION)
            + _text(2, "floppynet_vpr")
            + _record(7, graph)
            + _record(8, _number(2, OPSET))
            + _records(14, properties)
        )


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are 64-bit two's complement
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _record(tag: int, content: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(content)) + content


def _records(tag: int, contents: Iterable[bytes]) -> bytes:
    return b"".join(_record(tag, content) for content in contents)


def _text(tag: int, value: str) -> bytes:
    return _record(tag, value.encode())


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT_ATTRIBUTE)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, _STRING_ATTRIBUTE)
    numbers = b"".join(_number(8, item) for item in value)
    return _text(1, name) + numbers + _number(20, _INTS_ATTRIBUTE)


def _value_info(name: str, dtype: str, shape: Sequence[int | str]) -> bytes:
    dimensions = [_text(2, size) if isinstance(size, str) else _number(1, size) for size in shape]
    tensor = _number(1, ELEMENT_TYPES[dtype]) + _record(2, _records(1, dimensions))
    return _text(1, name) + _record(2, _record(1, tensor))
