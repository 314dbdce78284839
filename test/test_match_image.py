# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The match image shows what was seen beside what it was taken for, and why or why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import Client, StartNode, image_message, view
from sensor_msgs.msg import Image

from floppynet_vpr.commands import build_map, map_info
from floppynet_vpr.imaging.match_picture import PANEL_HEIGHT, PANEL_WIDTH, draw_match
from floppynet_vpr.imaging.pixels import convert_colour
from floppynet_vpr.imaging.thumbnail import read_thumbnail
from floppynet_vpr.mapping import ReferenceMap

RED, BLUE = ((220, 20, 20), (20, 20, 220))


def plain(colour: tuple[int, int, int], height: int = 120, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def middle(picture: np.ndarray, right: bool) -> np.ndarray:
    return picture[PANEL_HEIGHT // 2, PANEL_WIDTH // 2 + right * PANEL_WIDTH]


def pixels(message: Image) -> np.ndarray:
    assert message.encoding == "rgb8"
    assert message.step == 3 * message.width
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def test_both_pictures_are_shown_and_the_verdict_below_them() -> None:
    drawn = draw_match(plain(RED), plain(BLUE, 90, 160), "loop closure", True, ["place 3"])
    assert tuple(middle(drawn, right=False)) == RED
    assert tuple(middle(drawn, right=True)) == BLUE
    text = drawn[PANEL_HEIGHT:].astype(int)
    green = (text[..., 1] > text[..., 0] + 60).any(axis=1)
    assert green.any()
    refused = draw_match(plain(RED), plain(BLUE), "nothing detected", False, [])
    text = refused[PANEL_HEIGHT:].astype(int)
    assert not (text[..., 1] > text[..., 0] + 60).any()
    assert (text[..., 0] > text[..., 2] + 60).any()


def test_long_reasons_take_more_lines_and_foreign_letters_break_nothing() -> None:
    short = draw_match(plain(RED), None, "no", False, [])
    long = draw_match(plain(RED), None, "strasse \u00df " * 40, False, ["\ud800"])
    assert len(long) > len(short)
    assert long.shape[1:] == short.shape[1:]


def send(client: Client, message: Image, seen: list[Image]) -> Image:
    """Send an image and wait for the picture of its match."""
    client.image_publisher().publish(message)
    client.wait_for(lambda: any(m.header == message.header for m in seen), "a match image")
    return next(one for one in seen if one.header == message.header)


def test_the_node_shows_the_place_that_it_recognised(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    import cv2

    for number in range(30):
        bgr = convert_colour(view(number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(frames / f"{number:03d}.png"), bgr)
    path = tmp_path / "map.fvm"
    named = ["--session", "monday", "--robot", "rover"]
    assert build_map.main([str(frames), "-o", str(path), "--thumbnails", *named]) == 0
    (session,) = ReferenceMap.load(path).sessions
    assert (session.name, session.robot) == ("monday", "rover")
    seen: list[Image] = []
    client.node.create_subscription(Image, "/vpr/match_image", seen.append, 10)
    start_node(map=path, matching="rigid", sequence="none", threshold=0.5)
    shown = pixels(send(client, image_message(view(7), 7), seen))
    left, right = shown[:PANEL_HEIGHT, :PANEL_WIDTH], shown[:PANEL_HEIGHT, PANEL_WIDTH:]
    assert np.abs(left.astype(int) - right.astype(int)).mean() < 12, "both show the same place"
    other = view(20).astype(int)[::4, ::4]
    assert np.abs(right.astype(int)[::8, ::8] - other).mean() > 25
    text = shown[PANEL_HEIGHT:].astype(int)
    assert (text[..., 1] > text[..., 0] + 60).any(), "a loop closure is green"


def test_a_map_made_while_driving_keeps_pictures_and_names_if_asked(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "new.fvm"
    named = {"session_name": "night", "robot": "rover", "thumbnails": True}
    node = start_node(mode="mapping", save_map_to=path, **named)
    publisher = client.image_publisher()
    for number in range(3):
        publisher.publish(image_message(view(3 * number), number + 1))
        client.wait_for_answers(number + 1)
    assert node.stop() == 0
    reference = ReferenceMap.load(path)
    (session,) = reference.sessions
    assert (session.name, session.robot) == ("night", "rover")
    for index in range(3):
        found = read_thumbnail(reference.thumbnail_of(index) or b"")
        assert found is not None
        assert np.abs(found.astype(int) - view(3 * index)).mean() < 12


def test_map_info_writes_the_picture_of_a_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_thumbnails import pictured

    reference = pictured()
    reference.save(tmp_path / "map.fvm")
    path, output = str(tmp_path / "map.fvm"), tmp_path / "place.jpg"
    assert map_info.main([path]) == 0
    assert "thumbnails   of 3 places" in capsys.readouterr().out
    place = str(reference.places[1].id)
    assert map_info.main([path, "--image", place, "-o", str(output)]) == 0
    assert output.read_bytes() == reference.thumbnail_of(1)
    assert map_info.main([path, "--image", "3", "-o", str(output), "--force"]) == 0
    assert output.read_bytes() == reference.thumbnail_of(3)
    for wrong, told in (("2", "no picture"), ("9", "no place 9")):
        assert map_info.main([path, "--image", wrong, "-o", str(tmp_path / "no.jpg")]) == 1
        assert told in capsys.readouterr().err
    assert map_info.main([path, "--image", "1"]) == 1
