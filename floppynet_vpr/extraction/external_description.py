# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a network of another kind, in a file beside its model.

`vgg16.onnx` needs a `vgg16.yaml`; `config/external_network.yaml` explains its keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.preprocessing import INTERPOLATIONS, Preprocessing
from floppynet_vpr.yaml_facts import Facts, read_facts


@dataclass(frozen=True)
class ExternalDescription:
    """What a description says; `outputs` of the graph by the name of their layer, in its order.

    `size_kib` is None where it says nothing of the model's size.
    """

    title: str
    size_kib: float | None
    preprocessing: Preprocessing
    outputs: Mapping[str, str]

    def facts(self, layer: str) -> str:
        """All that decides what a layer gives, as text; what is by default is left out."""
        plain = asdict(Preprocessing(0, 0))
        chosen = asdict(self.preprocessing)
        settings = {key: value for key, value in chosen.items() if value != plain[key]}
        return json.dumps(settings | {"output": self.outputs[layer]}, sort_keys=True)


def read_description(model: Path) -> ExternalDescription:
    """Read the description beside a model.

    Raises VprError where there is none, or it is not what such a file has to be.
    """
    path = model.with_suffix(".yaml")
    if not path.is_file():
        raise VprError(
            f"{model} needs {path.name} beside it, which says what the network wants as "
            "input: config/external_network.yaml is an example"
        )
    facts = read_facts(path)
    title = facts.text("title", model.stem)
    size = facts.number("size_kib", 0)
    preprocessing = _preprocessing(facts.nested("input"), path)
    outputs = {}
    for item in facts.listed("outputs"):
        outputs[item.text("layer")] = item.text("output")
        item.finish()
    facts.finish()
    if not outputs:
        raise VprError(f"{path} has no outputs: it has to name one that is a descriptor")
    return ExternalDescription(title, size or None, preprocessing, outputs)


def _preprocessing(facts: Facts | None, path: Path) -> Preprocessing:
    if facts is None:
        raise VprError(f"{path}: input is missing")
    height, width = facts.count("height"), facts.count("width")
    if height is None or width is None:
        raise VprError(f"{path}, input: height and width are needed")
    plain = Preprocessing(height, width)
    chosen = Preprocessing(
        height=height,
        width=width,
        resize=facts.choice("resize", ("stretch", "crop"), plain.resize),
        interpolation=facts.choice("interpolation", tuple(INTERPOLATIONS), plain.interpolation),
        colour=facts.choice("colour", ("RGB", "BGR", "grey"), plain.colour),
        order=facts.choice("order", ("NCHW", "NHWC"), plain.order),
        scale=facts.number("scale", plain.scale),
        mean=facts.numbers("mean", plain.mean),
        std=facts.numbers("std", plain.std),
        dtype=facts.choice("dtype", ("float32", "uint8"), plain.dtype),
    )
    facts.finish()
    channels = 1 if chosen.colour == "grey" else 3
    for name, values in (("mean", chosen.mean), ("std", chosen.std)):
        if len(values) not in (1, channels) or (name == "std" and 0 in values):
            raise VprError(f"{path}, input: {name} needs 1 or {channels} numbers, std none of 0")
    if chosen.dtype == "uint8" and (chosen.scale, chosen.mean, chosen.std) != (
        plain.scale,
        plain.mean,
        plain.std,
    ):
        raise VprError(f"{path}, input: scale, mean and std belong to float32, not to uint8")
    return chosen
