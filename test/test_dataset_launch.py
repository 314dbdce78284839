# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files of the datasets: thin, documented, and they do the whole way from images."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

NO_LAUNCH = "needs the ROS 2 launch system, which comes with ROS distributions, not from PyPI"
launch = pytest.importorskip("launch", reason=NO_LAUNCH)
pytest.importorskip("launch_ros", reason=NO_LAUNCH)
rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.executors import SingleThreadedExecutor

from floppynet_vpr.datasets.bags_reading import BagFrames
from floppynet_vpr.datasets.catalogue import dataset_files
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError
from floppynet_vpr.mapping.places import MOST_PLACES
from floppynet_vpr.ros import dataset_launch
from floppynet_vpr.ros.replay import DISCOVERY_S, KEEP_EVERY_IMAGE

FOLDER = Path(__file__).resolve().parents[1] / "launch"
RVIZ = shutil.which("rviz2") is not None
PLACES = 8
PATIENCE_S = 90.0
DATASET = """
title: Small street
pairs: [{query: evening, reference: morning}]
truth: {rule: frames, tolerance: 0}
rate_hz: 4
layouts:
  - name: folders
    traverses: {morning: {paths: [morning]}, evening: {paths: [evening]}}
"""


def write_drives(folder: Path) -> None:
    for name, light in (("morning", 1.0), ("evening", 0.7)):
        (folder / name).mkdir(parents=True)
        for place in range(PLACES):
            pattern = np.random.default_rng(place).integers(0, 256, (6, 8, 3)).astype(np.uint8)
            image = cv2.resize(pattern, (160, 120), interpolation=cv2.INTER_CUBIC) * light
            assert cv2.imwrite(str(folder / name / f"{place}.png"), image.astype(np.uint8))


def run_launch(description: Any, arguments: dict[str, str]) -> int:
    """Run a launch description until it ends by itself."""
    service = launch.LaunchService(noninteractive=True)
    service.include_launch_description(
        launch.LaunchDescription(
            [
                *(
                    launch.actions.SetLaunchConfiguration(name, value)
                    for name, value in arguments.items()
                ),
                *description.entities,
            ]
        )
    )
    return int(service.run())


def test_every_dataset_has_a_thin_documented_launch_file() -> None:
    for dataset in dataset_files():
        path = FOLDER / f"{dataset}.launch.py"
        assert len(path.read_text().splitlines()) < 20
        spec = importlib.util.spec_from_file_location(f"{dataset}_launch", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        arguments = {a.name: a for a in module.generate_launch_description().get_launch_arguments()}
        assert {"root", "folder", "bag", "map", "weights", "backend", "rate", "rviz"} <= set(
            arguments
        )
        assert all(len(argument.description) > 20 for argument in arguments.values())
        assert float(arguments["delay"].default_value[0].text) == DISCOVERY_S


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "there are no bags of nordland in .*: name the dataset's folder once, root:=DIR"),
        ({"bag": "/no/such/bag"}, "bag:=/no/such/bag must be an existing file or bag"),
        ({"weights": "floppynet-9"}, "weights:=floppynet-9 must be an existing file or bag"),
        # A network that the package carries is taken: what is missing is the bags.
        ({"weights": "floppynet-4"}, "there are no bags of nordland in .*"),
        ({"rate": "fast"}, "rate:=fast must be a positive number"),
        ({"rate": "0"}, "rate:=0 must be a positive number"),
        ({"delay": "inf"}, "delay:=inf must be a positive number"),
        ({"map": "~nosuchuser/a.fvm"}, "no such user"),
        pytest.param(
            {"rviz": "true"},
            "rviz:=true needs RViz: apt install",
            marks=pytest.mark.skipif(RVIZ, reason="RViz is here"),
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    changed: dict[str, str], said: str, tmp_path: Path
) -> None:
    context = launch.LaunchContext()
    context.launch_configurations.update({"folder": str(tmp_path), **changed})
    description = dataset_launch.describe_dataset("nordland")
    with pytest.raises((RuntimeError, VprError), match=said):
        for entity in description.entities:
            entity.visit(context)


def test_a_failed_step_ends_the_launch(tmp_path: Path) -> None:
    (tmp_path / "street.yaml").write_text(DATASET)
    description = dataset_launch.describe_dataset(str(tmp_path / "street.yaml"))
    assert run_launch(description, {"root": str(tmp_path), "folder": str(tmp_path / "kept")}) != 0
    assert not list(tmp_path.glob("kept/*.fvm"))


def test_a_node_that_ends_while_playing_ends_the_launch(ros_domain: int, tmp_path: Path) -> None:
    write_drives(tmp_path / "data")
    (tmp_path / "street.yaml").write_text(DATASET)
    killed: list[str] = []

    def kill_the_node(event: Any, context: Any) -> None:
        if event.process_name.startswith("vpr_node"):
            os.kill(event.pid, signal.SIGKILL)
            killed.append(event.process_name)

    description = dataset_launch.describe_dataset(str(tmp_path / "street.yaml"))
    watch = launch.event_handlers.OnProcessStart(on_start=kill_the_node)
    description.add_action(launch.actions.RegisterEventHandler(watch))
    arguments = {"root": str(tmp_path / "data"), "folder": str(tmp_path / "kept"), "delay": "600"}
    assert run_launch(description, arguments) == 1
    assert len(killed) == 1


LAUNCHED = """
import sys
import launch
from floppynet_vpr.ros.dataset_launch import describe_dataset
dataset, *arguments = sys.argv[1:]
service = launch.LaunchService()
for argument in arguments:
    service.context.launch_configurations.update([argument.split(":=")])
service.include_launch_description(describe_dataset(dataset))
sys.exit(service.run())
"""


def test_ctrl_c_while_playing_ends_everything_in_order(ros_domain: int, tmp_path: Path) -> None:
    write_drives(tmp_path / "data")
    (tmp_path / "street.yaml").write_text(DATASET)
    said = tmp_path / "said"
    arguments = (f"root:={tmp_path / 'data'}", f"folder:={tmp_path / 'kept'}", "delay:=600")
    with said.open("w") as log:
        launched = subprocess.Popen(
            [sys.executable, "-c", LAUNCHED, str(tmp_path / "street.yaml"), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which Ctrl-C reaches as a whole
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ("waiting for images" in said.read_text() and "messages on" in said.read_text()):
            assert launched.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        os.killpg(launched.pid, signal.SIGINT)
        status = launched.wait(PATIENCE_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launched.pid, signal.SIGKILL)
    told = said.read_text()
    assert status == 0, told
    assert "Traceback" not in told and "Caught exception" not in told, told
    assert re.search(r"vpr_node-\d+\]: process has finished cleanly", told), told
    assert "8 images, 0:00:02" in told


def test_images_become_bags_map_and_answers(ros_context: Any, tmp_path: Path) -> None:
    from floppynet_vpr_msgs.msg import LoopClosure

    write_drives(tmp_path / "data")
    (tmp_path / "street.yaml").write_text(DATASET)
    answers: list[LoopClosure] = []
    node = rclpy.create_node("test_dataset_launch", context=ros_context)
    node.create_subscription(LoopClosure, "/vpr/loop_closure", answers.append, 100)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    ended = threading.Event()

    def listen() -> None:
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.1)

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        description = dataset_launch.describe_dataset(str(tmp_path / "street.yaml"))
        arguments = {"root": str(tmp_path / "data"), "folder": str(tmp_path / "kept")}
        asked: list[str] = []

        def note_queue(event: Any, context: Any) -> None:
            if event.process_name.startswith("vpr_node"):
                asked.append(context.launch_configurations["queue_size"])

        watch = launch.event_handlers.OnProcessStart(on_start=note_queue)
        description.add_action(launch.actions.RegisterEventHandler(watch))
        # An argument of vpr.launch.py, which the node gets.
        assert run_launch(description, {**arguments, "top_k": "2"}) == 0
    finally:
        ended.set()
        listening.join()
        executor.shutdown()
    source = open_source(tmp_path / "kept" / "street_evening")
    assert isinstance(source, BagFrames)
    stamps = source.stamps_ns()
    found = {
        a.header.stamp.sec * 10**9 + a.header.stamp.nanosec: a.candidates[0].place_id % MOST_PLACES
        for a in answers
    }
    assert found == {stamp: place for place, stamp in enumerate(stamps)}
    assert {len(answer.candidates) for answer in answers} == {2}
    assert asked == [str(KEEP_EVERY_IMAGE)]
    assert (tmp_path / "kept" / "street_morning.fvm").is_file()
