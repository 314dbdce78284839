# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node makes its map while driving and keeps it in a file, whatever happens to the process."""

from __future__ import annotations

import contextlib
import itertools
import signal
from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.file_lock import FileLock
from floppynet_vpr.mapping import Pose, ReferenceMap
from floppynet_vpr.mapping.places import MOST_PLACES

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Point
from lifecycle_msgs.msg import Transition
from node_harness import (
    PATIENCE_S,
    Client,
    StartNode,
    change_state,
    image_message,
    picture,
    set_parameter,
    view,
)
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from floppynet_vpr_msgs.msg import LoopClosure
from floppynet_vpr_msgs.srv import ForgetPlaces, MapFile


class Drive:
    """Sends images one at a time, a second apart by their stamps, and waits for each answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._publisher = client.image_publisher()
        self._sent = itertools.count(1)

    def past(self, *numbers: float) -> list[LoopClosure]:
        """Drive past these views; returns the answers."""
        before = len(self._client.answers)
        for index, number in enumerate(numbers, 1):
            self._publisher.publish(image_message(view(number), next(self._sent)))
            self._client.wait_for_answers(before + index)
        return self._client.answers[before:]


def seen_places(client: Client, count: int) -> dict[str, str]:
    return client.wait_for_diagnostics(lambda values: values.get("map places") == str(count))


def test_a_second_lap_is_recognised_and_what_was_just_seen_is_not(
    start_node: StartNode, client: Client
) -> None:
    start_node(
        mode="both",
        matching="rigid",
        sequence="none",
        threshold=0.5,
        exclude_images=5,
        exclude_seconds=3.0,
    )
    drive = Drive(client)
    first, second = drive.past(*range(30)), drive.past(*range(30))
    assert not any(answer.detected for answer in first)
    for index, answer in enumerate(first):
        assert all(candidate.place_id % MOST_PLACES < index - 4 for candidate in answer.candidates)
    assert [answer.candidates[0].place_id % MOST_PLACES for answer in second] == list(range(30))
    assert all(answer.detected for answer in second)
    assert second[0].candidates[0].place == "camera_optical_frame 1.000"
    assert second[3].candidates[0].stamp.sec == 4
    values = seen_places(client, 30)
    assert (values["mode"], values["places added"]) == ("both", "30")
    assert values["places known"] == "30", "what looks the same is not added again"


def test_mapping_only_adds_what_is_new_and_looks_for_nothing(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    stories: list[str] = []
    client.node.create_subscription(String, "/vpr/story", lambda m: stories.append(m.data), 10)
    start_node(mode="mapping", threshold=2.0, exclude_images=0, exclude_seconds=0.0)
    answers = Drive(client).past(1, 1, 1, 2, 2, 1)
    assert not any(answer.detected or answer.candidates for answer in answers)
    client.wait_for(lambda: any(story.startswith("image 5:") for story in stories), "stories")
    added = {story.split(":")[0] for story in stories if "added as place" in story}
    assert added <= {"image 0", "image 3", "image 5"}
    assert "image 5" in added
    assert client.call(MapFile, "/vpr/save_map", path=str(tmp_path / "new.fvm")).success
    places = ReferenceMap.load(tmp_path / "new.fvm").places
    assert [place.stamp_ns // 10**9 for place in places] == [1, 4, 6]
    assert set_parameter(client, "keyframe_seconds", 1000.0) == (True, "")
    Drive(client).past(3, 4, 5)
    assert seen_places(client, 3)["last answer"] == "mode is mapping"


def test_localization_never_changes_the_map(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "one.fvm"
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    reference.add(extractor.describe(view(0)), "start")
    reference.save(path)
    before = path.read_bytes()
    node = start_node(map=path, threshold=2.0)
    answers = Drive(client).past(0, 1, 2, 3)
    assert [len(answer.candidates) for answer in answers] == [1] * 4
    seen_places(client, 1)
    assert node.stop() == 0
    assert path.read_bytes() == before
    assert {entry.suffix for entry in tmp_path.iterdir()} == {".fvm", ".log"}


def test_kill_9_loses_no_more_than_the_last_interval_and_the_next_start_goes_on(
    start_node: StartNode, client: Client, ros_domain: int, tmp_path: Path
) -> None:
    path = tmp_path / "home.fvm"
    settings = {"mode": "both", "save_map_to": path, "sequence": "none", "threshold": 0.5}
    node = start_node(**settings, save_period=0.5)
    drive = Drive(client)
    drive.past(*range(10))
    client.wait_for_diagnostics(lambda v: v.get("last saving", "").startswith("10 places"))
    drive.past(*range(10, 15))  # in less than it takes until the next saving, or not
    node.kill()
    saved = len(ReferenceMap.load(path))
    assert 10 <= saved <= 15

    again = start_node(**settings, save_period=3600.0)
    again.wait_for_log(f"{saved} places")
    # The first client would for a while take the dead node for one that listens.
    with contextlib.closing(Client(ros_domain)) as new_client:
        drive = Drive(new_client)
        answers = drive.past(*range(10))
        drive.past(25, 26, 27)
    assert [answer.candidates[0].place_id % MOST_PLACES for answer in answers] == list(range(10))
    assert all(answer.detected for answer in answers)
    assert len(ReferenceMap.load(path)) == saved
    assert again.stop() == 0, "Ctrl-C"
    assert len(ReferenceMap.load(path)) == saved + 3, "what is new, and nothing twice"
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_node_and_one_whose_terminal_is_closed_save_the_map(
    sign: signal.Signals, start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "home.fvm"
    node = start_node(mode="mapping", save_map_to=path, save_period=3600.0)
    Drive(client).past(*range(4))
    seen_places(client, 4)
    assert not path.exists()
    node.process.send_signal(sign)
    assert node.process.wait(PATIENCE_S) == 0
    assert len(ReferenceMap.load(path)) == 4
    assert not list(tmp_path.glob("*.lock"))


def test_deactivation_saves_and_the_file_stays_this_nodes_until_cleanup(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "home.fvm"
    settings = {"mode": "mapping", "save_map_to": path, "save_period": 3600.0}
    first = start_node(**settings)
    Drive(client).past(*range(4))
    change_state(client, Transition.TRANSITION_DEACTIVATE)
    assert len(ReferenceMap.load(path)) == 4

    second = start_node("-r", "__node:=vpr2", **settings)
    assert second.process.wait(PATIENCE_S) == 1
    assert f"{path} is being written by another process ({first.process.pid})" in second.log
    assert "Traceback" not in second.log

    change_state(client, Transition.TRANSITION_CLEANUP)
    third = start_node("-r", "__node:=vpr2", **settings)
    third.wait_for_log("4 places")
    assert third.stop() == 0


def test_a_file_is_never_overwritten_by_another_map(start_node: StartNode, tmp_path: Path) -> None:
    foreign, damaged, sound = (tmp_path / f"{name}.fvm" for name in ("foreign", "damaged", "sound"))
    ReferenceMap("floppynet", "ab" * 32).save(foreign)
    ReferenceMap.for_weights(create_extractor().weights).save(sound)
    damaged.write_bytes(sound.read_bytes()[:-1])
    for settings, told in (
        ({"save_map_to": foreign}, "other weights"),
        ({"save_map_to": damaged}, "cut off or damaged"),
        ({"save_map_to": sound, "map": foreign}, "leave one of them empty"),
    ):
        before = settings["save_map_to"].read_bytes()
        node = start_node(mode="both", **settings)
        assert node.process.wait(PATIENCE_S) == 1
        assert told in node.log
        assert str(settings["save_map_to"]) in node.log
        assert "Traceback" not in node.log
        assert settings["save_map_to"].read_bytes() == before
    assert not list(tmp_path.glob("*.lock"))


def test_a_map_goes_on_under_another_name_and_is_not_replaced_while_it_is_saved(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    old, new = tmp_path / "old.fvm", tmp_path / "new.fvm"
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights, "float32")
    for number in range(3):
        reference.add(extractor.describe(view(number)), f"old {number}")
    reference.save(old)
    node = start_node(mode="both", map=old, save_map_to=new)
    Drive(client).past(10, 11)
    answer = client.call(MapFile, "/vpr/load_map", path=str(old))
    assert not answer.success
    assert f"is being saved to {new}" in answer.message
    seen_places(client, 5)
    assert node.stop() == 0
    assert len(ReferenceMap.load(old)) == 3
    grown = ReferenceMap.load(new)
    assert (len(grown), grown.storage) == (5, "float32")
    assert np.array_equal(grown.descriptors(0, 3), reference.descriptors())


def test_reset_starts_anew_and_pause_adds_nothing(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "home.fvm"
    node = start_node(mode="mapping", save_map_to=path)
    drive = Drive(client)
    drive.past(0, 1, 2)
    answer = client.call(Trigger, "/vpr/reset_map")
    assert str(path) in answer.message
    drive.past(2)  # the last image once more, but the first of the new map
    assert client.call(SetBool, "/vpr/pause", data=True).success
    client.image_publisher().publish(image_message(view(5), 99))
    client.wait_for_diagnostics(lambda values: values["images received"] == "5")
    assert node.stop() == 0
    assert [place.stamp_ns // 10**9 for place in ReferenceMap.load(path).places] == [4]


def test_places_are_forgotten_by_number_or_position_and_mapping_goes_on(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    for number in range(8):
        pose = Pose(float(number), 0.0, 0.0) if number < 6 else None
        reference.add(extractor.describe(view(number)), f"place {number}", 0, pose)
    reference.save(tmp_path / "way.fvm")
    start_node(
        mode="both",
        map=tmp_path / "way.fvm",
        matching="rigid",
        sequence="none",
        threshold=0.5,
        exclude_images=10,
    )
    first = reference.places[0].id
    drive = Drive(client)
    drive.past(20, 21)

    nothing = client.call(ForgetPlaces, "/vpr/forget")
    assert not nothing.success
    assert "give first_id and end_id" in nothing.message
    assert not client.call(
        ForgetPlaces, "/vpr/forget", first_id=first + 8, end_id=first + 11
    ).success
    nowhere = client.call(ForgetPlaces, "/vpr/forget", position=Point(x=99.0), radius=1.0)
    assert not nowhere.success
    assert "radius" in nowhere.message
    around = client.call(ForgetPlaces, "/vpr/forget", position=Point(x=1.2), radius=1.0)
    assert (around.success, around.forgotten) == (True, 2)
    by_number = client.call(ForgetPlaces, "/vpr/forget", first_id=first + 7, end_id=first + 8)
    assert (by_number.success, by_number.forgotten) == (True, 1)
    assert by_number.message == "forgot 1 places, 7 are left"

    # Left are views 0, 3, 4, 5, 6 and, of this drive, 20 and 21, which are still too new.
    answers = drive.past(3, 1, 20)
    assert answers[0].detected
    assert answers[0].candidates[0].place == "place 3"
    assert answers[0].candidates[0].place_id == first + 3, "ids are for life"
    assert not answers[1].detected
    assert not answers[2].detected
    seen_places(client, 9)  # views 1 and 20 are new, place 3 is known


def test_pictures_that_have_nothing_in_common_do_not_stop_a_growing_map(
    start_node: StartNode, client: Client
) -> None:
    start_node(mode="both", sequence="filter", subtract_mean=True, exclude_images=0)
    publisher = client.image_publisher()
    for number in range(60):
        publisher.publish(image_message(picture(number), 100 * number))
        client.wait_for_answers(number + 1)
    assert len(client.answers[-1].candidates) == 5
    values = seen_places(client, 60)
    assert values["images unusable"] == "0"


def test_save_map_leaves_a_file_that_another_process_writes(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    node = start_node(mode="mapping", save_map_to=str(tmp_path / "own.fvm"))
    with FileLock(tmp_path / "others.fvm"):
        refused = client.call(MapFile, "/vpr/save_map", path=str(tmp_path / "others.fvm"))
    assert not refused.success and "being written by another process" in refused.message
    assert not (tmp_path / "others.fvm").exists()
    assert client.call(MapFile, "/vpr/save_map", path=str(tmp_path / "own.fvm")).success
    assert node.stop() == 0
