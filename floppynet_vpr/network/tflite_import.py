# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the networks that the paper's authors published, without TensorFlow.

Their files are TensorFlow Lite flatbuffers with Larq Compute Engine's custom operators. The graph
is a chain, so it is walked once: convolutions are collected, and whatever scales and shifts stand
between two of them become the folded BatchNorm of the second.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.network.layers import NETWORKS, Conv, NetworkSpec, Pool, filter_shapes
from floppynet_vpr.network.weights import ConvWeights, NetworkWeights, WeightsError


@dataclass
class _Operator:
    """An operator of the graph: its name, constant inputs in order, and Larq's options."""

    name: str
    constants: list[NDArray[Any]]
    options: dict[str, Any]


@dataclass
class _Chain:
    """What the walk has gathered: layers, filters, BatchNorms, and the affine map in progress."""

    kinds: list[str] = field(default_factory=list)
    convs: list[ConvWeights] = field(default_factory=list)
    padding_values: set[int] = field(default_factory=set)
    scale: NDArray[np.float32] | None = None
    shift: NDArray[np.float32] | None = None

    def affine(self, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> None:
        """Apply `scale * x + shift` on top of what is in progress; identities leave no trace."""
        if np.all(scale == 1) and np.all(shift == 0):
            return
        if self.scale is None or self.shift is None:
            self.scale, self.shift = scale, shift
        else:
            self.scale, self.shift = self.scale * scale, self.shift * scale + shift

    def conv(self, filters: NDArray[np.int8]) -> None:
        """Add a convolution, which takes over the affine map in front of it."""
        self.kinds.append("conv")
        self.convs.append(ConvWeights(filters, self.scale, self.shift))
        self.scale = self.shift = None


def import_tflite(path: Path) -> NetworkWeights:
    """Read a published .tflite network (FloppyNet, ShallowNet or BinaryNet).

    The padding value is the file's own. Raises `WeightsError` when the file is no such network,
    `tflite` or `flatbuffers` being absent included.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    if content[4:8] != b"TFL3":
        raise WeightsError(f"{path} is not a TensorFlow Lite file")
    chain = _Chain()
    try:
        for operator in _operators(content):
            _walk(chain, operator, path)
    except (struct.error, IndexError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged or no such network ({error})") from None
    if chain.scale is not None:
        raise WeightsError(f"{path} scales the output of its last layer: not a pool5 network")
    return _as_network(chain, path)


def _walk(chain: _Chain, operator: _Operator, path: Path) -> None:
    constants = operator.constants
    if operator.name == "CONV_2D":
        filters, bias = constants
        if np.any(bias) or not np.all(np.abs(filters) == 1):
            raise WeightsError(f"{path}: its first convolution is not a binary one without bias")
        chain.conv(filters.astype(np.int8))
    elif operator.name == "LceBconv2d":
        filters, scale, shift = constants
        channels = int(operator.options["channels_in"])
        chain.padding_values.add(int(operator.options["pad_values"]))
        chain.conv(_unpack_larq(filters, channels))
        chain.affine(scale, shift)
    elif operator.name == "MAX_POOL_2D":
        # A maximum commutes with the BatchNorm behind it, not with one in front that turns signs.
        if chain.scale is not None and np.any(chain.scale <= 0):
            raise WeightsError(f"{path}: a pool follows a scale that is not positive")
        chain.kinds.append("pool")
    elif operator.name == "MUL":
        chain.affine(constants[0], np.zeros_like(constants[0]))
    elif operator.name == "ADD":
        chain.affine(np.ones_like(constants[0]), constants[0])
    elif operator.name != "LceQuantize":
        raise WeightsError(f"{path}: operator {operator.name} does not belong to this family")


def _as_network(chain: _Chain, path: Path) -> NetworkWeights:
    shapes = [conv.filters.shape for conv in chain.convs]
    if len(chain.padding_values) != 1:
        raise WeightsError(f"{path} pads with several values {sorted(chain.padding_values)}")
    (padding_value,) = chain.padding_values
    fitting = [
        spec
        for spec in NETWORKS.values()
        if spec.weight_bits == 1
        and list(filter_shapes(spec).values()) == shapes
        and _kinds(spec) == chain.kinds
    ]
    # FloppyNet and ShallowNet have the same layers; their padding tells them apart.
    fitting.sort(key=lambda spec: spec.padding_value != padding_value)
    if not fitting:
        raise WeightsError(f"{path} holds no network of this family (filters {shapes})")
    spec = fitting[0]
    names = [conv.name for conv in spec.convs]
    return NetworkWeights(spec, padding_value, dict(zip(names, chain.convs, strict=True)))


def _kinds(spec: NetworkSpec) -> list[str]:
    kinds: dict[type, str] = {Conv: "conv", Pool: "pool"}
    return [kinds[type(layer)] for layer in spec.layers]


def _unpack_larq(words: NDArray[np.int32], channels: int) -> NDArray[np.int8]:
    """Turn (out, kh, kw, words) int32, low bit first, bit 1 = -1, into +-1 of `channels`."""
    octets = np.ascontiguousarray(words.astype("<i4")).view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, count=channels, bitorder="little")
    return np.int8(1) - np.int8(2) * bits.astype(np.int8)


def _operators(content: bytes) -> Iterator[_Operator]:
    tflite, flexbuffers = _readers()
    model = tflite.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    builtin = {code: name for name, code in vars(tflite.BuiltinOperator).items() if name.isupper()}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        custom = code.CustomCode()
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = custom.decode() if custom else builtin[number]
        options = {}
        if custom and operator.CustomOptionsLength():
            options = flexbuffers.Loads(operator.CustomOptionsAsNumpy().tobytes())
        constants = [
            values
            for tensor in operator.InputsAsNumpy()
            if tensor >= 0 and (values := _constant(tflite, model, graph.Tensors(tensor))).size
        ]
        yield _Operator(name, constants, options)


def _constant(tflite: ModuleType, model: Any, tensor: Any) -> NDArray[Any]:
    buffer = model.Buffers(tensor.Buffer())
    if not buffer.DataLength():
        return np.empty(0, np.float32)
    dtypes = {tflite.TensorType.FLOAT32: "<f4", tflite.TensorType.INT32: "<i4"}
    values = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtypes[tensor.Type()])
    return values.reshape(tensor.ShapeAsNumpy())


def _readers() -> tuple[ModuleType, ModuleType]:
    try:
        import tflite
        from flatbuffers import flexbuffers
    except ImportError as error:
        raise WeightsError(
            f"reading .tflite files needs '{error.name}': pip install tflite flatbuffers"
        ) from None
    return tflite, flexbuffers
