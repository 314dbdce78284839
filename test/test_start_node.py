# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The executable `vpr_node` ends without traceback before it has really begun."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from floppynet_vpr.ros import start_node


def test_ctrl_c_during_the_imports_is_quiet() -> None:
    # As if the signal came while the node's module is being imported.
    program = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'floppynet_vpr.ros.vpr_node':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from floppynet_vpr.ros.start_node import main\n"
        "sys.exit(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (start_node.EXIT_INTERRUPTED, "")


def test_a_topic_name_that_cannot_be_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert start_node.main(["vpr_node", "--ros-args", "-r", "image:=/cam era"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "image:=/cam era" in said
    assert len(said.splitlines()) == 1


def test_words_that_nobody_reads_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """As launch files take them, but without --ros-args."""
    assert start_node.main(["vpr_node", "map:=home.fvm"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "'map:=home.fvm'" in said and "--ros-args -p" in said
    assert len(said.splitlines()) == 1
