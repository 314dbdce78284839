# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: all that a run needs to go on, written whole or not at all."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from floppynet_vpr.files import write_atomically
from floppynet_vpr.training.recipe import TrainingError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors and plain values; an older checkpoint survives a crash."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, (buffer.getbuffer(),))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, executing nothing; raises TrainingError when it cannot be used."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # A torn file can trip torch's reader anywhere, with LookupErrors, too.
    except (OSError, RuntimeError, EOFError, LookupError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"cannot read the checkpoint {path} ({error}): remove it to start anew"
        ) from None
    if not isinstance(state, dict) or "step" not in state:
        raise TrainingError(f"{path} is no checkpoint of a training run: choose another folder")
    return state
