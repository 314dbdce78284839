# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What can be evaluated: anything that turns an image into one or several descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.extraction.external_network import SUFFIX, ExternalModel, ExternalNetwork
from floppynet_vpr.extraction.extractor import FamilyExtractor
from floppynet_vpr.extraction.onnx_session import onnx_session, runtime_name
from floppynet_vpr.files import user_path
from floppynet_vpr.imaging.network_input import network_input
from floppynet_vpr.network.accounting import network_cost, size_up_to
from floppynet_vpr.network.layers import NETWORKS
from floppynet_vpr.network.network import Network
from floppynet_vpr.network.onnx_graph import INPUT_NAME, OUTPUT_NAME, onnx_model
from floppynet_vpr.network.weights import (
    NetworkWeights,
    load_weights,
    shipped_weights,
    weights_path,
)


class Describer(Protocol):
    """A network whose layers serve as descriptors.

    `how` says by what it is computed, and with which weights; `fingerprint` changes with everything
    that changes its descriptors. `networks` has, of the layers that a map takes, what it has to
    know. So many threads as `at_once` may call `describe` at once; each image takes one core.
    """

    label: str
    title: str
    how: str
    fingerprint: str
    layers: tuple[str, ...]
    networks: Mapping[str, Network]
    at_once: int

    def describe(self, rgb: NDArray[np.uint8]) -> Mapping[str, NDArray[np.generic]]:
        """Each layer of an (H, W, 3) uint8 RGB image, flat and not normalised."""

    def size_kib(self, layer: str) -> float:
        """The size of the model that a descriptor of this layer needs, in KiB."""


class FamilyNetwork:
    """A network of the family. pool5 alone comes from the extractor that robots use.

    Other layers are those of the same network as an ONNX graph, whose pool5 is the very same: the
    sums of a convolution, before BatchNorm and sign, or the largest of them behind a pool.
    """

    def __init__(
        self,
        label: str,
        weights: NetworkWeights,
        layers: Sequence[str],
        *,
        backend: str = "auto",
        threads: int = 1,
    ) -> None:
        """Make the network ready; raises VprError for a layer that it does not have."""
        self.label = label
        self.title = weights.spec.title
        self.fingerprint = weights.fingerprint
        self.layers = tuple(layers)
        self.networks: Mapping[str, Network] = {
            name: weights for name in self.layers if name == OUTPUT_NAME
        }
        self.at_once = threads
        self._spec = weights.spec
        self._extractors: SimpleQueue[FamilyExtractor] | None = None
        if self.layers == (OUTPUT_NAME,):
            self._extractors = SimpleQueue()
            for _ in range(threads):
                extractor = create_extractor(weights, backend)
                self._extractors.put(extractor)
            self.how = extractor.description
            return
        self._session = onnx_session(onnx_model(weights, self.layers), threads=1)
        self.how = f"{runtime_name()}, float32"

    def describe(self, rgb: NDArray[np.uint8]) -> Mapping[str, NDArray[np.generic]]:
        """Each layer of an (H, W, 3) uint8 RGB image: flat integers."""
        image = network_input(rgb)
        if self._extractors is not None:
            extractor = self._extractors.get()
            try:
                return {OUTPUT_NAME: extractor.pool5(image).reshape(-1)}
            finally:
                self._extractors.put(extractor)
        maps = self._session.run(list(self.layers), {INPUT_NAME: image[np.newaxis]})
        return {name: values.reshape(-1) for name, values in zip(self.layers, maps, strict=True)}

    def size_kib(self, layer: str) -> float:
        """The size of the layers up to this one, in KiB (Table III)."""
        return size_up_to(self._spec, layer) / 1024


class OtherNetwork:
    """A network of another kind: an ONNX model whose outputs are descriptors."""

    def __init__(
        self, path: Path, layers: Sequence[str] | None, *, label: str = "", threads: int = 1
    ) -> None:
        """Load the model and its description.

        `layers` that the description does not have are passed over, so that one list can serve
        networks of several kinds; None takes all. Raises VprError where the model or its
        description cannot be used, or none of `layers` is there.
        """
        self._model = model = ExternalModel(path)
        self.layers = tuple(name for name in model.layers if layers is None or name in layers)
        if not self.layers:
            raise VprError(
                f"{path.with_suffix('.yaml')} has none of the layers {', '.join(layers or ())}: "
                f"it has {', '.join(model.layers)}"
            )
        model.session()
        self.networks: Mapping[str, Network] = {
            layer: ExternalNetwork(model, layer) for layer in self.layers
        }
        self.title = model.description.title
        self.label = label or path.stem
        self.fingerprint = " ".join(map(model.fingerprint, self.layers))
        self.how = f"{path.name}; {runtime_name()}"
        self.at_once = threads

    def describe(self, rgb: NDArray[np.uint8]) -> Mapping[str, NDArray[np.generic]]:
        """Each layer of an (H, W, 3) uint8 RGB image, flat; raises VprError."""
        found = self._model.run(rgb, self.layers)
        return {name: values.reshape(-1) for name, values in zip(self.layers, found, strict=True)}

    def size_kib(self, layer: str) -> float:
        """The size of the model in KiB: of its file, or what the description says."""
        return self._model.size_kib


def open_network(
    text: str,
    layers: Sequence[str] | None,
    folder: Path | None = None,
    *,
    backend: str = "auto",
    threads: int = 1,
) -> Describer:
    """Open what a user calls a network; raises VprError for no such network, file or layer.

    `text` is `shipped`, the package's FloppyNet; a name of the family, whose weights lie in
    `folder` as NAME*.fnet or NAME*.tflite (without a folder: in the package, if it carries them); a
    .fnet, .tflite or .onnx file; or LABEL=FILE. `layers` None takes all; an .onnx file's are in the
    .yaml file beside it. `threads` images may be worked on at once.
    """
    label, _, named = text.rpartition("=")
    if named.endswith(SUFFIX):
        return OtherNetwork(user_path(named), layers, label=label, threads=threads)
    weights, origin = _find_weights(named, folder)
    network = FamilyNetwork(
        label or (Path(named).stem if Path(named).suffix else named),
        weights,
        layers or [cost.name for cost in network_cost(weights.spec).layers],
        backend=backend,
        threads=threads,
    )
    network.how = f"{origin}; {network.how}"
    return network


def _find_weights(named: str, folder: Path | None) -> tuple[NetworkWeights, str]:
    """The weights that are meant, and where they come from, in words."""
    if named == "shipped":
        return load_weights(None), "shipped weights"
    path = user_path(named)
    if path.suffix in (".fnet", ".tflite"):
        return _read_weights(path), path.name
    if named not in NETWORKS:
        raise VprError(
            f"unknown network {named}: choose shipped, one of {', '.join(NETWORKS)}, or name a "
            ".fnet, .tflite or .onnx file"
        )
    if folder is not None:
        found = [*sorted(folder.glob(f"{named}*.fnet")), *sorted(folder.glob(f"{named}*.tflite"))]
        # floppynet-2.fnet is another network than floppynet.
        for file in found:
            weights = _read_weights(file)
            if weights.spec.name == named:
                return weights, file.name
    elif named in shipped_weights():
        return load_weights(weights_path(named)), "shipped weights"
    where = "--weights names no folder with them" if folder is None else f"{folder} has none"
    raise VprError(f"there are no weights of {named}: {where} ({named}*.fnet or {named}*.tflite)")


def _read_weights(path: Path) -> NetworkWeights:
    if path.suffix == ".tflite":
        from floppynet_vpr.network.tflite_import import import_tflite

        return import_tflite(path)
    return load_weights(path)
