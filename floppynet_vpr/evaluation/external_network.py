# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Any other network in the same table: an ONNX file, and beside it what it wants as input.

`vgg16.onnx` needs a `vgg16.yaml`; `config/external_network.yaml` explains its keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.yaml_facts import Facts, read_facts
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.onnx_session import cpu_session, runtime_name
from floppynet_vpr.network.weights import NetworkWeights

_INTERPOLATIONS: Final = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
}


@dataclass(frozen=True)
class Preprocessing:
    """How an RGB image becomes a network's input.

    It is resized to `height` x `width`, straight ("stretch") or after cutting the middle out of the
    longer side ("crop"); channels are put in `colour` order, and value x becomes
    `(scale * x - mean) / std`, channel by channel in that order.
    """

    height: int
    width: int
    resize: str = "stretch"
    interpolation: str = "linear"
    colour: str = "RGB"
    order: str = "NCHW"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dtype: str = "float32"

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Turn an (H, W, 3) uint8 RGB image into a batch of one."""
        whole = _middle(rgb, self.width / self.height) if self.resize == "crop" else rgb
        how = _INTERPOLATIONS[self.interpolation]
        image: NDArray[Any] = cv2.resize(whole, (self.width, self.height), interpolation=how)
        if self.colour == "BGR":
            image = image[:, :, ::-1]
        elif self.colour == "grey":
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[:, :, None]
        if self.dtype == "float32":
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            image = (image.astype(np.float32) * np.float32(self.scale) - mean) / std
        if self.order == "NCHW":
            image = image.transpose(2, 0, 1)
        return np.ascontiguousarray(image[None])


class ExternalNetwork:
    """An ONNX model whose outputs are descriptors, run by onnxruntime."""

    def __init__(
        self, path: Path, layers: Sequence[str] | None, *, label: str = "", threads: int = 1
    ) -> None:
        """Load the model and its description.

        `layers` that the description does not have are passed over, so that one list can serve
        networks of several kinds; None takes all.

        Raises:
            VprError: the model or its description cannot be used, or none of `layers` is there.
        """
        described = path.with_suffix(".yaml")
        if not path.is_file():
            raise VprError(f"there is no network {path}")
        if not described.is_file():
            raise VprError(
                f"{path} needs {described.name} beside it, which says what the network wants as "
                "input: config/external_network.yaml is an example"
            )
        facts = read_facts(described)
        self.title = facts.text("title", path.stem)
        self.label = label or path.stem
        size = facts.number("size_kib", path.stat().st_size / 1024)
        self._preprocessing = _preprocessing(facts.nested("input"), described)
        outputs = {
            item.text("layer"): (item.text("output"), item) for item in facts.listed("outputs")
        }
        facts.finish()
        for _, item in outputs.values():
            item.finish()
        self.layers = tuple(name for name in outputs if layers is None or name in layers)
        if not self.layers:
            raise VprError(
                f"{described} has none of the layers {', '.join(layers or ())}: it has "
                f"{', '.join(outputs) or 'no outputs'}"
            )
        self.weights: NetworkWeights | None = None
        self._size_kib = size
        self._outputs = [outputs[name][0] for name in self.layers]
        self.fingerprint = hashlib.sha256(
            path.read_bytes() + repr((self._preprocessing, outputs.keys())).encode()
        ).hexdigest()
        self.how = f"{path.name}; {runtime_name()}"
        self.at_once = threads
        self._session = _session(path)
        known = [output.name for output in self._session.get_outputs()]
        for output in self._outputs:
            if output not in known:
                raise VprError(f"{path} has no output {output}: it has {', '.join(known)}")
        self._input = self._session.get_inputs()[0].name

    def describe(self, rgb: NDArray[np.uint8]) -> Mapping[str, NDArray[np.generic]]:
        """Each layer of an (H, W, 3) uint8 RGB image, flat.

        Raises:
            VprError: the network does not take what its description says.
        """
        batch = self._preprocessing.apply(rgb)
        try:
            maps = self._session.run(self._outputs, {self._input: batch})
        except Exception as error:  # onnxruntime has a dozen kinds of its own
            raise VprError(
                f"{self.title} does not take an input of shape {batch.shape} and type "
                f"{batch.dtype}: {' '.join(str(error).split())}"
            ) from error
        return {
            name: np.asarray(values).reshape(-1)
            for name, values in zip(self.layers, maps, strict=True)
        }

    def size_kib(self, layer: str) -> float:
        """The size of the model in KiB: of its file, or what the description says."""
        return self._size_kib


def _session(path: Path) -> Any:
    try:
        return cpu_session(str(path), threads=1)
    except Exception as error:  # onnxruntime has a dozen kinds of its own
        raise VprError(f"onnxruntime cannot load {path}: {' '.join(str(error).split())}") from error


def _preprocessing(facts: Facts | None, path: Path) -> Preprocessing:
    if facts is None:
        raise VprError(f"{path}: input is missing")
    height, width = facts.count("height"), facts.count("width")
    if height is None or width is None:
        raise VprError(f"{path}, input: height and width are needed")
    chosen = Preprocessing(
        height=height,
        width=width,
        resize=facts.choice("resize", ("stretch", "crop"), "stretch"),
        interpolation=facts.choice("interpolation", tuple(_INTERPOLATIONS), "linear"),
        colour=facts.choice("colour", ("RGB", "BGR", "grey"), "RGB"),
        order=facts.choice("order", ("NCHW", "NHWC"), "NCHW"),
        scale=facts.number("scale", 1.0),
        mean=facts.numbers("mean", (0.0,)),
        std=facts.numbers("std", (1.0,)),
        dtype=facts.choice("dtype", ("float32", "uint8"), "float32"),
    )
    facts.finish()
    channels = 1 if chosen.colour == "grey" else 3
    for name, values in (("mean", chosen.mean), ("std", chosen.std)):
        if len(values) not in (1, channels) or (name == "std" and 0 in values):
            raise VprError(f"{path}, input: {name} needs 1 or {channels} numbers, std none of 0")
    plain = Preprocessing(height, width)
    if chosen.dtype == "uint8" and (chosen.scale, chosen.mean, chosen.std) != (
        plain.scale,
        plain.mean,
        plain.std,
    ):
        raise VprError(f"{path}, input: scale, mean and std belong to float32, not to uint8")
    return chosen


def _middle(rgb: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """Cut the largest part of the given width / height out of the middle."""
    height, width = rgb.shape[:2]
    rows, columns = min(height, round(width / aspect)), min(width, round(height * aspect))
    top, left = (height - rows) // 2, (width - columns) // 2
    return rgb[top : top + max(rows, 1), left : left + max(columns, 1)]
