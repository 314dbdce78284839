# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The demo from end to end: real bags, the real node in its own process, real DDS."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from floppynet_vpr.commands import demo, evaluate
from floppynet_vpr.detection.limits import BELIEVED
from floppynet_vpr.evaluation.recording import read_recording
from floppynet_vpr.ros.processes import (
    ModuleProcess,
    ProcessError,
    free_domain,
    private_domain,
)
from floppynet_vpr.signals import ended_as_by_ctrl_c
from floppynet_vpr.synthetic.route import FIRST_LAP, SECOND_LAP, SyntheticRoute


def processes_about(word: str) -> list[int]:
    """The numbers of all other processes with this word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in command:
                found.append(int(entry.name))
    return found


def demo_command(output: Path, *options: str) -> list[str]:
    command = [sys.executable, "-m", "floppynet_vpr.commands.demo", "--output", str(output)]
    return [*command, "--length", "24", *options]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished demo and what it printed."""
    output = tmp_path_factory.mktemp("demo")
    done = subprocess.run(demo_command(output), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return output, done.stdout


def test_the_demo_finds_its_way_along_the_street(first_run: tuple[Path, str]) -> None:
    output, said = first_run
    (result,) = json.loads((output / "results.json").read_text())
    assert result["missing"] == [] and result["queries"] == len(result["by_query"]) > 15
    assert result["references"] == 24 and result["s_p100"] > 50
    assert result["by_query"][0]["unit"] == "m"
    assert "ms median" in result["facts"]["Latency"] and result["facts"]["Map"] == "24 places"
    lap = said[: said.index("[5/6]")]
    assert lap.count("\n  query ") == result["queries"]
    assert lap.count("  right, ") == result["right"]
    assert lap.count("loop closure    ") == result["detection"]["detected"]
    assert re.search(rf"^node +{result['s_p100']:.1f} ", said, re.MULTILINE)


def test_the_demo_keeps_every_message_and_evaluate_says_the_same_of_them(
    first_run: tuple[Path, str], tmp_path: Path
) -> None:
    output = first_run[0]
    recording = read_recording(output / "answers")
    assert len(recording.answers) == len({a.stamp_ns for a in recording.answers}) > 15
    for recorded in recording.answers:
        assert not recorded.answer.detected or recorded.answer.matches[0].score >= BELIEVED
    arguments = ["--query", str(output / "lap_2"), "--reference", str(output / "lap_1")]
    arguments += ["--positions", str(output / "lap_2.csv"), str(output / "lap_1.csv")]
    arguments += ["--tolerance", "2", "--storage", "binary", "--queries", "0"]
    assert evaluate.main([*arguments, "-o", str(tmp_path)]) == 0
    (without_ros,), (by_node,) = (
        json.loads((folder / "results.json").read_text()) for folder in (tmp_path, output)
    )
    for computed, answered in zip(without_ros["by_query"], by_node["by_query"], strict=True):
        assert computed["match"] == answered["match"]
        assert computed["detected"] == answered["detected"]
    same = ("precision", "recall", "recall_at_100_precision", "delays_images")
    assert [without_ros["detection"][k] for k in same] == [by_node["detection"][k] for k in same]


def test_the_demo_says_what_happens_when_the_camera_is_carried_off_and_turned_round(
    first_run: tuple[Path, str],
) -> None:
    output, said = first_run
    (result,) = json.loads((output / "third_drive" / "results.json").read_text())
    (laps,) = json.loads((output / "results.json").read_text())
    part = laps["queries"] // 2
    assert result["queries"] == 2 * part and result["missing"] == []
    metres = [float(line) for line in (output / "detour.csv").read_text().split()[1:]]
    driven = [float(line) for line in (output / "lap_2.csv").read_text().split()[1:]]
    assert metres == driven[-part:] + driven[part - 1 :: -1]
    after = result["by_query"][part:]
    found = [n for n, query in enumerate(after) if query["detected"] and query["right"]]
    wrong = sum(query["detected"] and not query["right"] for query in after)
    told = f"found again {found[0]} images later" if found else "not found again"
    assert f"against the direction of the map: {told}, with {wrong} false closures" in said
    assert (output / "third_drive" / "report.html").is_file()


def test_the_demo_leaves_a_picture_and_a_page_but_no_process(first_run: tuple[Path, str]) -> None:
    output, said = first_run
    assert (output / "matches.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/jpeg" in (output / "report.html").read_text("utf-8")
    for name in ("matches.png", "report.html", "results.json", "results.csv"):
        assert f"wrote {output / name}" in said
    assert processes_about(str(output)) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_demo_ends_its_processes(
    first_run: tuple[Path, str], sign: signal.Signals
) -> None:
    output = first_run[0]
    with subprocess.Popen(
        demo_command(output, "--rate", "1"), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        said = []
        for line in running.stdout:
            if line.startswith("  query "):
                break
            said.append(line)
        assert sum("kept from before" in line for line in said) == 2
        assert len(processes_about(str(output))) == 3
        running.send_signal(sign)
        running.stdout.read()
        assert running.wait(120) == 130
    assert processes_about(str(output)) == []


def test_a_process_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "no_such_bag")]
    with ModuleProcess("floppynet_vpr.commands.play_bag", arguments, tmp_path / "log") as player:
        give_up = time.monotonic() + 120
        with pytest.raises(ProcessError, match=r"(?s)play_bag ended with status 1:.*no_such_bag"):
            while time.monotonic() < give_up:
                player.require_running()
                time.sleep(0.02)


def test_the_domain_is_private_and_the_environment_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "3")
    monkeypatch.setenv("ROS_STATIC_PEERS", "10.0.0.1")
    with private_domain() as domain:
        assert 1 <= domain <= 101 and os.environ["ROS_DOMAIN_ID"] == str(domain)
        assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert "ROS_STATIC_PEERS" not in os.environ
    assert os.environ["ROS_DOMAIN_ID"] == "3" and "ROS_STATIC_PEERS" in os.environ


def test_a_domain_with_a_participant_is_not_free() -> None:
    import rclpy
    from rclpy.context import Context

    domain = free_domain()
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("occupant", context=context)
    try:
        assert free_domain() != domain
    finally:
        node.destroy_node()
        context.try_shutdown()


def test_sigterm_is_a_keyboard_interrupt_only_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ended_as_by_ctrl_c():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "day"], "choose folders of --data DIR"),
        (["--data", "/no/such/folder"], "is no folder"),
        (["--weights", "/no/such/file.fnet", "--length", "10"], "/no/such/file.fnet"),
    ],
)
def test_mistakes_are_explained_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["--output", str(tmp_path), *arguments]) == 1
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: ") and message in told and "\n" not in told


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo.main(["--help"])
    told = capsys.readouterr().out
    for word in ("ros2 run floppynet_vpr demo", "--tolerance", "(default: 20.0)", "--reference"):
        assert word in told


def test_two_drives_of_ones_own_are_judged(tmp_path: Path) -> None:
    """Without positions along the way there is no third drive."""
    for name, lap in (("monday", FIRST_LAP), ("tuesday", SECOND_LAP)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        frames = SyntheticRoute(length_m=24).frames(lap)
        for number, frame in enumerate(itertools.islice(frames, 16)):
            cv2.imwrite(str(tmp_path / "mine" / name / f"{number}.jpg"), frame.rgb[..., ::-1])
    output = tmp_path / "out"
    done = subprocess.run(
        demo_command(output, "--data", str(tmp_path / "mine")),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no third drive" in done.stdout
    assert (output / "report.html").is_file()
    (result,) = json.loads((output / "results.json").read_text())
    assert result["queries"] == result["references"] == 16
