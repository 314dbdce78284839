# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the real node on a bag: node and player are processes, the answers are recorded over DDS."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from floppynet_vpr.datasets.traverse_bags import RATE_HZ, TraverseBag
from floppynet_vpr.evaluation.recording import RecordedAnswer
from floppynet_vpr.ros.processes import (
    ModuleProcess,
    ProcessError,
    private_domain,
)
from floppynet_vpr.ros.recorder import LoopClosureRecorder
from floppynet_vpr.signals import ended_as_by_ctrl_c

_CAMERA = "/camera/image_raw"
_START_PATIENCE_S = 60.0
_SILENCE_S = 4.0
"""After the player has ended, so long without an answer means that no more will come."""

_LAST_DIAGNOSTICS_S = 2.0


def rehearse(
    reference_map: Path,
    queries: TraverseBag,
    stamps_ns: Sequence[int],
    recording: Path,
    *,
    rate_hz: float,
    weights: Path | None,
    logs: Path,
    ready: Callable[[], None],
    answered: Callable[[int, RecordedAnswer], None],
) -> None:
    """Start the node with a map, play the queries to it and record what it answers.

    Both processes are ended whatever happens, Ctrl-C included.

    Args:
        reference_map: the map file.
        queries: the bag to play.
        stamps_ns: those of its images.
        recording: the bag to write; must not exist.
        rate_hz: images per second.
        weights: weights file, None for the shipped one.
        logs: folder for what the two processes say.
        ready: called when the node is ready, before the first image.
        answered: called with every answer as it comes, and the number of its query.

    Raises:
        ProcessError: the node did not start, or one of the processes died; with its last words.
    """
    node_arguments = _node_arguments(reference_map, weights, queries.compressed)
    speed = f"{rate_hz / RATE_HZ:.6g}"
    play = [str(queries.path), "--rate", speed, "--wait-for-subscriber", "30"]
    node_process = ModuleProcess(
        "floppynet_vpr.ros.vpr_node", node_arguments, logs / "vpr_node.log"
    )
    player_process = ModuleProcess("floppynet_vpr.commands.play_bag", play, logs / "play_bag.log")
    with (
        ended_as_by_ctrl_c(),
        private_domain() as domain,
        LoopClosureRecorder(recording, domain_id=domain) as recorder,
        node_process as node,
    ):
        _wait_for_publisher(recorder, node)
        ready()
        with player_process as player:
            count = _collect(recorder, stamps_ns, node, player, answered)
        _await_diagnostics(recorder, count)


def _node_arguments(reference_map: Path, weights: Path | None, compressed: bool) -> list[str]:
    # Parameters are YAML: quotes keep a name such as 1.5 from being read as a number.
    settings = {"map": f"'{reference_map.resolve()}'", "qos": "reliable", "queue_size": "100"}
    if weights is not None:
        settings["weights"] = f"'{weights.resolve()}'"
    if compressed:
        settings["image_transport"] = "compressed"
    arguments = ["--ros-args"]
    for name, value in settings.items():
        arguments += ["-p", f"{name}:={value}"]
    return [
        *arguments,
        *("-r", f"image:={_CAMERA}"),
        *("-r", f"image/compressed:={_CAMERA}/compressed"),
    ]


def _wait_for_publisher(recorder: LoopClosureRecorder, node: ModuleProcess) -> None:
    give_up = time.monotonic() + _START_PATIENCE_S
    while not recorder.publishers:
        node.require_running()
        if time.monotonic() > give_up:
            raise ProcessError(
                f"{node.name} published no /vpr/loop_closure within {_START_PATIENCE_S:.0f} s"
                f"{node.last_words()}"
            )
        time.sleep(0.05)


def _collect(
    recorder: LoopClosureRecorder,
    stamps_ns: Sequence[int],
    node: ModuleProcess,
    player: ModuleProcess,
    answered: Callable[[int, RecordedAnswer], None],
) -> int:
    """Wait until every query has an answer, or the player has ended and silence sets in."""
    open_queries = {stamp: number for number, stamp in enumerate(stamps_ns)}
    heard = time.monotonic()
    while open_queries:
        answer = recorder.next_answer(timeout_s=0.1)
        if answer is not None:
            heard = time.monotonic()
            query = open_queries.pop(answer.stamp_ns, None)
            if query is not None:
                answered(query, answer)
            continue
        node.require_running()
        if player.exit_status is None:
            heard = time.monotonic()
        elif player.exit_status != 0:
            player.require_running()
        elif time.monotonic() - heard > _SILENCE_S:
            break
    return len(stamps_ns) - len(open_queries)


def _await_diagnostics(recorder: LoopClosureRecorder, answers: int) -> None:
    """Wait for the node's account of itself after the last answer; it gives one a second."""
    give_up = time.monotonic() + _LAST_DIAGNOSTICS_S
    while time.monotonic() < give_up:
        if int(recorder.diagnostics.get("images processed", 0)) >= answers:
            return
        time.sleep(0.05)
