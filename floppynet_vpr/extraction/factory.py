# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses an extractor: by name, or the fastest one that works here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import overload

from floppynet_vpr.extraction.compiled import CompiledExtractor
from floppynet_vpr.extraction.external_network import SUFFIX, ExternalExtractor, ExternalNetwork
from floppynet_vpr.extraction.extractor import ExtractionError, Extractor, FamilyExtractor
from floppynet_vpr.extraction.onnx_int8 import OnnxIntegerExtractor
from floppynet_vpr.extraction.onnx_runtime import OnnxExtractor
from floppynet_vpr.extraction.packed import PackedExtractor
from floppynet_vpr.extraction.threads import set_threads
from floppynet_vpr.network.weights import NetworkWeights, load_weights

_MAKERS: dict[str, Callable[[NetworkWeights, int], FamilyExtractor]] = {
    "packed-llvm": CompiledExtractor,
    "packed-faiss": lambda weights, threads: PackedExtractor(weights, "faiss", threads),
    "onnxruntime-int8": OnnxIntegerExtractor,
    "packed-numpy": lambda weights, threads: PackedExtractor(weights, "numpy", threads),
    "onnxruntime": OnnxExtractor,
}
CONCRETE_BACKENDS = tuple(_MAKERS)
"""The names that stand for one way to compute, fastest first."""
_PACKED = tuple(name for name in _MAKERS if name.startswith("packed"))
_CANDIDATES = {"auto": CONCRETE_BACKENDS, "packed": _PACKED} | {name: (name,) for name in _MAKERS}

BACKENDS = tuple(_CANDIDATES)
"""The names that `create_extractor` takes: `auto` and `packed` choose the fastest that works.

Those that begin with `packed` compute with bits, hence binary networks only; the others all of the
family. Networks of other kinds are computed by onnxruntime: with `auto` on a GPU, if it has one.
"""

_EXTERNAL = ("auto", "onnxruntime")

_log = logging.getLogger(__name__)


def backends_for(weights: NetworkWeights) -> tuple[str, ...]:
    """The concrete backends that compute this network, fastest first."""
    return tuple(name for name in _MAKERS if weights.bits == 1 or name not in _PACKED)


def load_network(path: Path | None = None) -> NetworkWeights | ExternalNetwork:
    """Read a .fnet file, or an .onnx file with its description beside it; None: FloppyNet's.

    Raises VprError naming the file that cannot be used.
    """
    if path is not None and path.suffix == SUFFIX:
        return ExternalNetwork.load(path)
    return load_weights(path)


@overload
def create_extractor(
    weights: NetworkWeights | None = None, backend: str = "auto", threads: int = 1
) -> FamilyExtractor: ...


@overload
def create_extractor(
    weights: Path | NetworkWeights | ExternalNetwork | None,
    backend: str = "auto",
    threads: int = 1,
) -> Extractor: ...


def create_extractor(
    weights: Path | NetworkWeights | ExternalNetwork | None = None,
    backend: str = "auto",
    threads: int = 1,
) -> Extractor:
    """Make an extractor; `describe()` of it turns an image into a descriptor.

    `weights` is what `load_network` takes or gives. `threads` is set for the whole process (see
    `set_threads`). Where `backend` leaves a choice, what is not available is said in the log.
    Raises ExtractionError when the backend is unknown, does not compute networks of this kind, its
    library is absent or it does not work here, VprError for an unusable file.
    """
    if backend not in _CANDIDATES:
        raise ExtractionError(f"unknown backend '{backend}': choose one of {', '.join(BACKENDS)}")
    if threads < 1:
        raise ExtractionError(f"threads is {threads}: it must be at least 1")
    if weights is None or isinstance(weights, Path):
        weights = load_network(weights)
    if isinstance(weights, ExternalNetwork):
        return _external(weights, backend, threads)
    fitting = backends_for(weights)
    candidates = [name for name in _CANDIDATES[backend] if name in fitting]
    if not candidates:
        raise ExtractionError(
            f"{backend} computes networks of one bit, {weights.spec.title} has {weights.bits}: "
            f"choose auto or one of {', '.join(fitting)}"
        )
    failures = []
    for name in candidates:
        try:
            extractor = _MAKERS[name](weights, threads)
        except ImportError as error:
            failures.append(f"{name} is not available ({error})")
            continue
        except ExtractionError as error:
            failures.append(f"{name} does not work ({error})")
            continue
        if failures:
            _log.warning("extraction is slower than it could be: %s", "; ".join(failures))
        set_threads(threads)
        return extractor
    raise ExtractionError(f"{'; '.join(failures)}: install the library or choose another backend")


def _external(network: ExternalNetwork, backend: str, threads: int) -> ExternalExtractor:
    if backend not in _EXTERNAL:
        raise ExtractionError(
            f"{backend} computes networks of the family, {network.model.path} is of another kind: "
            f"choose {' or '.join(_EXTERNAL)}"
        )
    extractor = ExternalExtractor(network, threads, gpu=backend == "auto")
    set_threads(threads)
    return extractor
