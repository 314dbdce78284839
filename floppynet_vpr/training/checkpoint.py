# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: all that a run needs to go on, written whole or not at all."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from floppynet_vpr.files import write_atomically
from floppynet_vpr.training.model import Features
from floppynet_vpr.training.recipe import SHALLOW, TrainingError, trained_spec


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


def load_features(run: Path) -> Features:
    """The averaged features of an earlier run, of any network and precision.

    They are in training mode, so that each batch is normalised by itself.

    Raises:
        TrainingError: `run` is not the folder of a run.
    """
    state = load_checkpoint(run / "checkpoint.pt")
    if "network_name" not in state:
        raise TrainingError(f"{run} is a run of an older release: go on with it once to update it")
    name, shallow, _ = state["network_name"].partition(SHALLOW)
    features = Features(trained_spec(name, shallow=True if shallow else None))
    own = "features."
    values = {k.removeprefix(own): v for k, v in state["average"].items() if k.startswith(own)}
    features.load_state_dict(values)
    return features.to(memory_format=torch.channels_last)


def mean_features(runs: Sequence[Path]) -> Features:
    """The mean of the latent weights of several runs of one network; see `load_features`.

    The mean is a network that was never run: its BatchNorm statistics have to be taken anew.

    Raises:
        TrainingError: a folder is not that of a run, or the runs are of different networks.
    """
    mean, *others = (load_features(run) for run in runs)
    for run, other in zip(runs[1:], others, strict=True):
        if other.spec != mean.spec:
            raise TrainingError(
                f"{run} is a run of {other.spec.title}, {runs[0]} of {mean.spec.title}: only "
                "states of one network have a mean"
            )
    with torch.no_grad():
        for values in zip(*(each.parameters() for each in (mean, *others)), strict=True):
            values[0].copy_(torch.stack(values).mean(0))
    return mean
