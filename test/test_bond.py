# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A node that nav2's lifecycle manager runs is bonded with it while it is active."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import String

from floppynet_vpr.ros.vpr_node import VprNode

SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.fixture
def node(ros_domain: int) -> Iterator[VprNode]:
    """The node in this process, unconfigured."""
    rclpy.init(domain_id=ros_domain)
    node = VprNode()
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


class Bond:
    """A stand-in with the methods of bondpy's Bond that are used, and its order of arguments."""

    made: list[Bond]

    def __init__(
        self, topic: str, id: str, node: Any, on_broken: Any = None, on_formed: Any = None
    ) -> None:
        self.topic, self.id = topic, id
        self.heartbeats = node.create_publisher(String, topic, 1)
        self.period = self.timeout = 0.0
        self.alive = False
        Bond.made.append(self)

    def set_heartbeat_period(self, seconds: float) -> None:
        assert not self.alive
        self.period = seconds

    def set_heartbeat_timeout(self, seconds: float) -> None:
        assert not self.alive
        self.timeout = seconds

    def start(self) -> None:
        self.alive = True

    def shutdown(self) -> None:
        self.alive = False


@pytest.fixture
def bonds(monkeypatch: pytest.MonkeyPatch) -> list[Bond]:
    """Have bondpy; the bonds that are made with it."""
    Bond.made = []
    bondpy, inner = ModuleType("bondpy"), ModuleType("bondpy.bondpy")
    inner.__dict__["Bond"] = Bond
    monkeypatch.setitem(sys.modules, "bondpy", bondpy)
    monkeypatch.setitem(sys.modules, "bondpy.bondpy", inner)
    return Bond.made


def test_the_bond_lasts_as_long_as_the_node_is_active(node: VprNode, bonds: list[Bond]) -> None:
    node.set_parameters([
        Parameter("autostart", value=False),
        Parameter("bond_heartbeat_period", value=0.25),
    ])  # fmt: skip
    assert node.trigger_configure() == SUCCESS
    assert bonds == []
    assert node.trigger_activate() == SUCCESS
    (bond,) = bonds
    # Nav2's manager waits for a bond of the node's name on the topic bond.
    assert (bond.topic, bond.id, bond.period) == ("bond", "vpr", 0.25)
    assert bond.timeout > bond.period and bond.alive
    assert node.trigger_deactivate() == SUCCESS
    assert not bond.alive
    assert node.trigger_activate() == SUCCESS
    assert [one.alive for one in bonds] == [False, True]
    assert node.trigger_shutdown() == SUCCESS
    assert [one.alive for one in bonds] == [False, False]


@pytest.mark.parametrize("parameters", [{"autostart": True}, {"bond_heartbeat_period": 0.0}])
def test_without_a_manager_or_a_period_there_is_none(
    node: VprNode, bonds: list[Bond], parameters: dict[str, Any]
) -> None:
    wanted = {"autostart": False, **parameters}
    node.set_parameters([Parameter(name, value=value) for name, value in wanted.items()])
    assert node.start()
    assert bonds == []


def test_without_bondpy_it_is_said_what_the_manager_needs(
    node: VprNode, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bondpy.bondpy", None)
    node.set_parameters([Parameter("autostart", value=False)])
    assert node.start()
    assert "bondpy is not installed" in (told := capfd.readouterr().err)
    assert "bond_timeout 0.0" in told
