# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How this package uses onnxruntime."""

from __future__ import annotations

from typing import Any


def runtime_name() -> str:
    """Name the library with its version; raises ImportError where onnxruntime is absent."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def cpu_session(model: bytes | str, threads: int) -> Any:
    """Make a session on `threads` CPU threads of a model or of the file that holds one.

    Raises ImportError where onnxruntime is absent, and kinds of its own for a model it rejects.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads would spin for milliseconds on a core that a robot's other nodes want.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
