# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The SROS2 policy names what the node says, hears and offers, and nothing else."""

from __future__ import annotations

import contextlib
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from floppynet_vpr.parameters import INPUT_TOPICS, SETTINGS

ROOT = Path(__file__).resolve().parents[1]
POLICY = ElementTree.parse(ROOT / "config" / "sros2" / "vpr.policy.xml").getroot()
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
UNTIL_ASKED_FOR = {"/clock", "/tf", "/tf_static", "/image/compressed", "/odom", "/pose", "/depth"}
"""What only some parameters have the node hear: simulated time, poses, other kinds of images."""


def allowed(kind: str, right: str, enclave: str = "/vpr") -> set[str]:
    """The full names of the topics or services that an enclave has a right to."""
    (found,) = (one for one in POLICY.iter("enclave") if one.get("path") == enclave)
    (profile,) = found.iter("profile")
    node = profile.get("node")
    names = {
        str(name.text)
        for group in profile.iter(f"{kind}s")
        if group.get(right) == "ALLOW"
        for name in group.iter(kind)
    }
    return {re.sub(r"^~/", f"/{node}/", name) if name[0] in "~/" else f"/{name}" for name in names}


def test_a_listener_may_read_answers_and_call_nothing() -> None:
    assert allowed("topic", "subscribe", "/vpr_listener") >= {"/vpr/loop_closure"}
    assert not allowed("service", "request", "/vpr_listener")
    assert "/vpr/loop_closure" not in allowed("topic", "publish", "/vpr_listener")


def test_every_input_of_the_launch_file_may_be_heard() -> None:
    assert {f"/{name}" for name in INPUT_TOPICS} <= allowed("topic", "subscribe")


def test_the_page_names_a_parameter_that_there_is() -> None:
    assert "map_folder:=" in PAGE and "map_folder" in {setting.name for setting in SETTINGS}


def test_the_policy_is_what_the_node_says_hears_and_offers(
    request: pytest.FixtureRequest,
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from rclpy.node import NodeNameNonExistentError

    start_node, client = (request.getfixturevalue(name) for name in ("start_node", "client"))
    # On a busy machine DDS may lose what it tells one of them of another node; hardly what it
    # tells both.
    other = type(client)(request.getfixturevalue("ros_domain"))
    request.addfinalizer(other.close)
    start_node()
    client.image_publisher()

    def names(kind: str) -> set[str]:
        """What any of the two knows of the node."""
        found: set[str] = set()
        for observer in (client.node, other.node):
            with contextlib.suppress(NodeNameNonExistentError):
                look = getattr(observer, f"get_{kind}_names_and_types_by_node")
                found |= {name for name, _ in look("vpr", "/")}
        return found

    def heard() -> set[str]:
        return names("subscriber")

    def said() -> set[str]:
        return names("publisher")

    def offered() -> set[str]:
        return names("service")

    # Not every distribution tells the types of its messages.
    services = allowed("service", "reply") - {"/vpr/get_type_description"}
    client.wait_for(lambda: offered() >= services, "the services")
    client.wait_for(lambda: said() >= allowed("topic", "publish"), "the publishers")
    assert offered() - {"/vpr/get_type_description"} == services
    assert said() == allowed("topic", "publish")
    always = allowed("topic", "subscribe") - UNTIL_ASKED_FOR - {"/parameter_events"}
    client.wait_for(lambda: heard() >= always, "the subscriptions")
    assert heard() - {"/parameter_events"} == always
