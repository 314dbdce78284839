# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Networks of another kind: any ONNX model that turns an image into a descriptor."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.external_description import read_description
from floppynet_vpr.extraction.extractor import ExtractionError, Extractor, normalise
from floppynet_vpr.extraction.onnx_session import CPU, fastest_provider, onnx_session, runtime_name
from floppynet_vpr.files import open_file
from floppynet_vpr.libraries import told
from floppynet_vpr.network.network import Shape

SUFFIX = ".onnx"

_ELSEWHERE = b"\n\x08location\x12"
"""How a model says where else a tensor's values are: a key "location", and its value follows."""


class ExternalModel:
    """An ONNX model with what its description says of it, run by onnxruntime.

    Threads may run it at the same time.
    """

    def __init__(self, path: Path) -> None:
        """Read the model and its description.

        Raises VprError where one of them is missing or the description is wrong.
        """
        self.path = path
        try:
            with open_file(path) as file:
                self._content = file.read()
        except OSError as error:
            raise VprError(f"there is no network {path}: {error.strerror}") from None
        self.description = read_description(path)
        self.layers = tuple(self.description.outputs)
        self.size_kib = self.description.size_kib or len(self._content) / 1024
        self._digest = hashlib.sha256(self._content)
        self._sessions: dict[tuple[int, bool], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_digest": None, "_sessions": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._digest = hashlib.sha256(self._content)

    def fingerprint(self, layer: str) -> str:
        """SHA-256 of the model and of all that decides what it gives for a layer."""
        digest = self._digest.copy()
        digest.update(self.description.facts(layer).encode())
        return digest.hexdigest()

    def session(self, threads: int = 1, gpu: bool = False) -> Any:
        """What runs the model with so many threads, on a GPU if wanted; the same each time.

        Raises ExtractionError where onnxruntime is absent or refuses the model, and VprError where
        the model has not the outputs that its description names.
        """
        if (threads, gpu) in self._sessions:
            return self._sessions[threads, gpu]
        if _ELSEWHERE in self._content:
            raise ExtractionError(
                f"{self.path} has its weights in another file: export it as a single one "
                "(torch.onnx.export with external_data=False)"
            )
        try:
            provider = fastest_provider() if gpu else CPU
            session = onnx_session(self._content, threads, provider)
        except ImportError as error:
            raise ExtractionError(f"{told(error)}; {self.path} needs it") from error
        except Exception as error:  # onnxruntime has a dozen kinds of its own
            reason = " ".join(str(error).split())
            raise ExtractionError(f"onnxruntime cannot load {self.path}: {reason}") from error
        known = [output.name for output in session.get_outputs()]
        for output in self.description.outputs.values():
            if output not in known:
                raise VprError(f"{self.path} has no output {output}: it has {', '.join(known)}")
        self._sessions[threads, gpu] = session
        return session

    def run(
        self, rgb: NDArray[np.uint8], layers: Sequence[str], session: Any = None
    ) -> list[NDArray[Any]]:
        """Compute layers of an (H, W, 3) uint8 RGB image, each as rows, columns and channels.

        Raises ExtractionError where the model does not take what its description says, or gives
        what is no descriptor.
        """
        session = session or next(iter(self._sessions.values()), None) or self.session()
        batch = self.description.preprocessing.apply(rgb)
        outputs = [self.description.outputs[layer] for layer in layers]
        try:
            found = session.run(outputs, {session.get_inputs()[0].name: batch})
        except Exception as error:  # onnxruntime has a dozen kinds of its own
            raise ExtractionError(
                f"{self.description.title} does not take an input of shape {batch.shape} and type "
                f"{batch.dtype}: {' '.join(str(error).split())}"
            ) from error
        return [
            self._as_map(np.asarray(values), output)
            for values, output in zip(found, outputs, strict=True)
        ]

    def _as_map(self, values: NDArray[Any], output: str) -> NDArray[Any]:
        """Take an output of a batch of one for a map of cells where it has such axes."""
        if values.ndim < 1 or (values.ndim > 1 and values.shape[0] != 1):
            raise ExtractionError(
                f"{self.path}, output {output}: a batch of one image gives {values.shape}, which "
                "is not one descriptor"
            )
        if values.ndim != 4:
            return values.reshape(1, 1, -1)
        return values[0].transpose(1, 2, 0) if self._channels_first else values[0]

    @property
    def _channels_first(self) -> bool:
        return self.description.preprocessing.order == "NCHW"


class ExternalNetwork:
    """A model's layer as a descriptor; a `Network`."""

    def __init__(self, model: ExternalModel, layer: str | None = None) -> None:
        """Take `layer`, by default the first of the description."""
        self.model = model
        self.layer = layer or model.layers[0]

    @classmethod
    def load(cls, path: Path) -> ExternalNetwork:
        """Read a model and its description; raises VprError as `ExternalModel`."""
        return cls(ExternalModel(path))

    @property
    def name(self) -> str:
        """The model's file without its suffix."""
        return self.model.path.stem

    @property
    def title(self) -> str:
        """What its description calls it."""
        return self.model.description.title

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the model and of what its description says of this layer."""
        return self.model.fingerprint(self.layer)

    @cached_property
    def shape(self) -> Shape:
        """Rows, columns and channels, found by computing a black image; raises VprError."""
        settings = self.model.description.preprocessing
        black = np.zeros((settings.height, settings.width, 3), np.uint8)
        rows, columns, channels = self.model.run(black, [self.layer])[0].shape
        return rows, columns, channels


class ExternalExtractor(Extractor):
    """Extracts the descriptor of a network of another kind.

    One session serves all extractors of a network; sums of floats are those of its machine, so
    descriptors of two machines may differ in their last digits.
    """

    def __init__(self, network: ExternalNetwork, threads: int = 1, gpu: bool = True) -> None:
        """Make the network ready and try it once; `gpu`: take one where onnxruntime has it.

        Raises ExtractionError where onnxruntime is absent or does not take the model, and VprError
        where this is not what its description says.
        """
        self._session = network.model.session(threads, gpu)
        where = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        super().__init__(network, f"{network.model.path.name}; {runtime_name()}, {where}")
        self._network = network
        _ = network.shape

    def describe(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Extract the descriptor of an image; see `Extractor`."""
        (found,) = self._network.model.run(rgb, [self._network.layer], self._session)
        if not np.isfinite(found).all():
            raise ExtractionError(
                f"{self._network.title} gives values that are not finite: its description may not "
                "say rightly what it wants as input"
            )
        return normalise(found)
