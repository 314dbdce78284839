# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Runs real nodes on bags: nodes and players are processes, the answers are recorded over DDS."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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

    The bag `recording` must not exist; what the two processes say goes into the folder `logs`.
    `ready` is called before the first image, `answered` with every answer as it comes and the
    number of its query. Both processes are ended whatever happens, Ctrl-C included. Raises
    ProcessError, with its last words, where the node did not start or one of them died.
    """
    node_process, player_process = _processes(
        {"map": str(reference_map.resolve())}, queries, rate_hz, weights, logs
    )
    with (
        ended_as_by_ctrl_c(),
        private_domain() as domain,
        LoopClosureRecorder(recording, domain_id=domain) as recorder,
        node_process as node,
    ):
        _wait_for_publisher(recorder, node)
        ready()
        with player_process as player:
            hearing = _Hearing(recorder, stamps_ns, node, player, answered)
            while hearing.goes_on(timeout_s=0.1):
                pass
        _await_diagnostics(recorder, hearing.answers)


@dataclass(frozen=True)
class Robot:
    """A robot that is to drive: its name is its namespace.

    `stamps_ns` are those of the images of its bag. `answered` is called with every answer as it
    comes, and the number of its image.
    """

    name: str
    bag: TraverseBag
    stamps_ns: Sequence[int]
    answered: Callable[[int, RecordedAnswer], None]


def rehearse_fleet(
    robots: Sequence[Robot],
    shared_map: str,
    output: Path,
    *,
    rate_hz: float,
    ready: Callable[[], None],
) -> None:
    """Start a node for each robot and play their bags at once, all with one map that they add to.

    Nodes and players are processes of their own and ended whatever happens, Ctrl-C included. In
    `output` each robot has a folder of its name, which must not exist: the recording of its answers
    (`answers`), its journal, and what its processes said. `ready` is called before the first image.
    Raises ProcessError, with its last words, where a node did not start, or a process died.
    """
    with ended_as_by_ctrl_c(), private_domain() as domain, ExitStack() as stack:
        driving = []
        for robot in robots:
            folder = output / robot.name
            folder.mkdir()
            settings = {"map": shared_map, "mode": "both", "journal": str(folder / "journal")}
            node_process, player_process = _processes(
                settings, robot.bag, rate_hz, None, folder, robot.name
            )
            topic = f"/{robot.name}/vpr/loop_closure"
            recorder = LoopClosureRecorder(folder / "answers", topic, domain_id=domain)
            stack.enter_context(recorder)
            driving.append((robot, recorder, stack.enter_context(node_process), player_process))
        for _, recorder, node, _ in driving:
            _wait_for_publisher(recorder, node)
        ready()
        heard = [
            _Hearing(recorder, robot.stamps_ns, node, stack.enter_context(player), robot.answered)
            for robot, recorder, node, player in driving
        ]
        while heard:
            heard = [one for one in heard if one.goes_on(timeout_s=0.02)]


def _processes(
    settings: dict[str, str],
    bag: TraverseBag,
    rate_hz: float,
    weights: Path | None,
    logs: Path,
    robot: str = "",
) -> tuple[ModuleProcess, ModuleProcess]:
    """A node with these parameters and a player for it, not yet started."""
    # Parameters are YAML: quotes keep a name such as 1.5 from being read as a number.
    quoted = {name: f"'{value}'" for name, value in settings.items()}
    if weights is not None:
        quoted["weights"] = f"'{weights.resolve()}'"
    quoted |= {"qos": "reliable", "queue_size": "100"}
    if bag.compressed:
        quoted["image_transport"] = "compressed"
    camera = f"/{robot}{_CAMERA}" if robot else _CAMERA
    node = ["--ros-args"]
    for name, value in quoted.items():
        node += ["-p", f"{name}:={value}"]
    node += ["-r", f"image:={camera}", "-r", f"image/compressed:={camera}/compressed"]
    speed = f"{rate_hz / RATE_HZ:.6g}"
    play = [str(bag.path), "--rate", speed, "--wait-for-subscriber", "30"]
    if robot:
        node += ["-r", f"__ns:=/{robot}"]
        play += ["--ros-args", "-r", f"__ns:=/{robot}", "-r", f"{bag.topic}:=/{robot}{bag.topic}"]
    return (
        ModuleProcess("floppynet_vpr.ros.vpr_node", node, logs / "vpr_node.log"),
        ModuleProcess("floppynet_vpr.commands.play_bag", play, logs / "play_bag.log"),
    )


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


class _Hearing:
    """The answers to a bag that is being played, until each image has one or no more will come."""

    def __init__(
        self,
        recorder: LoopClosureRecorder,
        stamps_ns: Sequence[int],
        node: ModuleProcess,
        player: ModuleProcess,
        answered: Callable[[int, RecordedAnswer], None],
    ) -> None:
        self.answers = 0
        self._recorder, self._node, self._player = recorder, node, player
        self._answered = answered
        self._open = {stamp: number for number, stamp in enumerate(stamps_ns)}
        self._heard = time.monotonic()

    def goes_on(self, timeout_s: float) -> bool:
        """Take in the next answer, if one comes in time; tells whether to go on.

        Raises ProcessError where node or player has died.
        """
        answer = self._recorder.next_answer(timeout_s)
        if answer is not None:
            self._heard = time.monotonic()
            query = self._open.pop(answer.stamp_ns, None)
            if query is not None:
                self.answers += 1
                self._answered(query, answer)
            return bool(self._open)
        self._node.require_running()
        if self._player.exit_status is None:
            self._heard = time.monotonic()
        elif self._player.exit_status != 0:
            self._player.require_running()
        return time.monotonic() - self._heard <= _SILENCE_S


def _await_diagnostics(recorder: LoopClosureRecorder, answers: int) -> None:
    """Wait for the node's account of itself after the last answer; it gives one a second."""
    give_up = time.monotonic() + _LAST_DIAGNOSTICS_S
    while time.monotonic() < give_up:
        if int(recorder.diagnostics.get("images processed", 0)) >= answers:
            return
        time.sleep(0.05)
