# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How this package uses onnxruntime."""

from __future__ import annotations

from typing import Any

from floppynet_vpr.libraries import require

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
"""Who computes, in onnxruntime's words."""

_NOWHERE = "/dev/null"


def runtime_name() -> str:
    """Name the library with its version; raises ImportError where onnxruntime is absent."""
    return f"onnxruntime {require('onnxruntime').__version__}"


def fastest_provider() -> str:
    """The GPU where the installed onnxruntime has one, else the CPU; raises ImportError."""
    return CUDA if CUDA in require("onnxruntime").get_available_providers() else CPU


def onnx_session(model: bytes, threads: int, provider: str = CPU) -> Any:
    """Make a session of a model on `threads` CPU threads, or on what `provider` names.

    Raises ImportError where onnxruntime is absent, and kinds of its own for a model it rejects,
    such as one whose weights are in another file: a fingerprint would not tell of these.
    """
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would spin for milliseconds on a core that a robot's other nodes want.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NOWHERE
    )
    providers = list(dict.fromkeys((provider, CPU)))
    return onnxruntime.InferenceSession(model, options, providers=providers)
