# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Commands and the node work in poor surroundings, or say in a sentence what they lack."""

from __future__ import annotations

import importlib
import inspect
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands.common import EXIT_ERROR, run
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.surroundings import what_is_denied

COMMANDS = Path(__file__).parents[1] / "floppynet_vpr" / "commands"
NO_UTF_8 = {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
}
GIB = 2**30


def as_a_user() -> list[str]:
    """What makes root obey access modes, as any user has to."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root obeys no access modes, and setpriv, which changes that, is not here")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def command(
    name: str,
    *words: object,
    environment: Mapping[str, str | None] | None = None,
    before: Callable[[], object] | None = None,
    prefix: list[str] | None = None,
    stdout: Any = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command with the environment changed; None unsets a variable."""
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(
        [*(prefix or []), sys.executable, "-m", f"floppynet_vpr.commands.{name}"]
        + [str(word) for word in words],
        env={name: value for name, value in variables.items() if value is not None},
        preexec_fn=before,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def only_sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command that failed said."""
    assert done.returncode == EXIT_ERROR
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surroundings") / "straße"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        (folder / f"größe_{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def map_file(images: Path) -> Path:
    file = images.parent / "übersicht.fvm"
    assert command("build_map", images, "--output", file).returncode == 0
    return file


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(NO_UTF_8, id="locale C"),
        pytest.param({"HOME": None}, id="no HOME"),
        pytest.param({"HOME": "/proc/nobody"}, id="HOME that cannot be made"),
        pytest.param({"TMPDIR": "/proc/nothing"}, id="TMPDIR that is not there"),
    ],
)
def test_maps_and_bags_are_made_and_read_in_any_environment(
    environment: Mapping[str, str | None], images: Path, map_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "ähnlich.fvm"
    for words in (
        ("build_map", images, "--output", output),
        ("map_info", output, "--places", "--plot", tmp_path / "karte.png"),
        ("make_bag", images, tmp_path / "fahrt"),
    ):
        done = command(*words, environment=environment)
        assert done.returncode == 0, done.stderr.decode()
    assert output.read_bytes() == map_file.read_bytes()
    names = [place.name for place in ReferenceMap.load(output).places]
    assert names == [f"größe_{number}.png" for number in range(3)]


def test_a_home_and_folder_without_write_access(images: Path, map_file: Path) -> None:
    home = images.parent / "home"
    home.mkdir(exist_ok=True)
    home.chmod(0o555)
    user = as_a_user()
    environment = {"HOME": str(home), "MPLCONFIGDIR": None}
    plot = images.parent / "plot.png"
    done = command(
        "map_info", map_file, "--plot", plot, "--force", environment=environment, prefix=user
    )
    assert done.returncode == 0 and plot.stat().st_size > 1000
    done = command("build_map", images, "--output", home / "x.fvm", prefix=user)
    assert "no permission" in only_sentence(done)
    assert list(home.iterdir()) == []


def test_another_users_files_are_refused_in_a_sentence(
    images: Path, map_file: Path, tmp_path: Path
) -> None:
    user = as_a_user()
    theirs = Path(shutil.copy(map_file, tmp_path / "theirs.fvm"))
    folder = Path(shutil.copytree(images, tmp_path / "theirs"))
    theirs.chmod(0)
    folder.chmod(0)
    try:
        for words in (
            ("map_info", theirs),
            ("build_map", folder, "--output", tmp_path / "x.fvm"),
            ("make_bag", folder, tmp_path / "bag"),
            ("merge_maps", map_file, theirs, "--output", tmp_path / "x.fvm"),
            ("calibrate", map_file, folder),
            ("network_info", folder / "x.fnet"),
        ):
            done = command(*words, prefix=user)
            assert "theirs" in only_sentence(done), words
    finally:
        folder.chmod(0o700)


def test_nothing_that_is_printed_gets_into_a_file_when_streams_are_closed(
    images: Path, map_file: Path, tmp_path: Path
) -> None:
    def close() -> None:
        for stream in range(3):
            os.close(stream)

    output = tmp_path / "closed.fvm"
    assert command("build_map", images, "--output", output, before=close).returncode == 0
    assert output.read_bytes() == map_file.read_bytes()
    assert command("map_info", output, before=close).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_a_sentence(map_file: Path) -> None:
    with open("/dev/full", "wb") as full:
        for words in (("map_info", map_file), ("network_info",)):
            done = command(*words, stdout=full)
            assert "No space left" in only_sentence(done)


def test_a_reader_that_goes_away_ends_a_command_quietly(map_file: Path) -> None:
    for words in (("map_info", map_file), ("network_info",)):
        reading, writing = os.pipe()
        os.close(reading)
        done = command(*words, stdout=writing)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")


def test_a_gib_of_address_space_is_enough_or_said_not_to_be(
    images: Path, map_file: Path, tmp_path: Path
) -> None:
    for words in (
        ("build_map", images, "--output", tmp_path / "x.fvm"),
        ("map_info", map_file),
        ("make_bag", images, tmp_path / "bag"),
        ("export_onnx", tmp_path / "x.onnx"),
    ):
        done = command(
            *words,
            before=lambda: resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB)),
        )
        if done.returncode != 0:
            assert "not enough memory" in only_sentence(done)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (RuntimeError("can't start new thread"), "not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory"),
        (
            ModuleNotFoundError("No module named 'faiss'", name="faiss"),
            "faiss is not installed: pip",
        ),
        (OSError(28, "No space left on device", "map.fvm"), "map.fvm: No space left on device"),
    ],
)
def test_what_the_machine_denies_is_told_in_a_sentence(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> int:
        raise error

    assert run(body) == EXIT_ERROR
    said = capsys.readouterr().err
    assert said.startswith("error: ") and told in said and len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [ValueError("x"), ImportError("x", name="floppynet_vpr.mapping"), RuntimeError("x")]
)
def test_faults_of_the_program_keep_their_traceback(error: Exception) -> None:
    def body() -> int:
        raise error

    assert what_is_denied(error) is None
    with pytest.raises(type(error)):
        run(body)


def test_every_command_goes_through_the_one_door() -> None:
    modules = {path.stem for path in COMMANDS.glob("*.py")} - {"__init__", "common"}
    names = sorted(name for name in modules if not name.endswith("_options"))
    assert len(names) > 10
    for name in names:
        main = inspect.getsource(importlib.import_module(f"floppynet_vpr.commands.{name}").main)
        assert main.startswith("@command(build_parser)"), name


# The node


def test_a_node_without_home_names_the_variable_that_helps(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    variables = {**os.environ, "HOME": "/proc/nobody"}
    for name in ("ROS_LOG_DIR", "ROS_HOME"):
        variables.pop(name, None)
    words = [sys.executable, "-m", "floppynet_vpr.ros.start_node"]
    done = subprocess.run(words, env=variables, capture_output=True, check=False)
    assert "ROS_LOG_DIR=<folder>" in only_sentence(done)


def test_a_node_with_a_gib_of_address_space_starts_or_says_why_not(
    start_node: Any, tmp_path: Path
) -> None:
    node = start_node(before=lambda: resource.setrlimit(resource.RLIMIT_AS, (GIB, GIB)))
    node.wait_for_end_or_log("waiting for images")
    assert "Traceback" not in node.log
    if node.process.poll() == -signal.SIGSEGV:
        pytest.skip("a native library crashed for want of memory before anything could be told")
    if node.process.poll() is not None:
        assert node.process.returncode == EXIT_ERROR
        assert "memory" in node.log.lower() or "failed to map" in node.log


def test_a_node_told_not_to_take_utf_8_names_the_variable_that_helps() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    words = [sys.executable, "-m", "floppynet_vpr.ros.start_node"]
    done = subprocess.run(
        [*words, "--ros-args", "-p", "map:=größe.fvm"],
        env={**os.environ, **NO_UTF_8},
        capture_output=True,
        check=False,
    )
    assert "LC_ALL=C.UTF-8" in only_sentence(done)


def test_a_node_in_locale_c_without_shared_memory_answers(
    start_node: Any, client: Any, map_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node_harness import image_message, picture

    apart = ["unshare", "--mount", "sh", "-c"]
    hide = "mount -t tmpfs -o ro none /dev/shm"
    if shutil.which("unshare") is None or subprocess.run([*apart, hide], check=False).returncode:
        pytest.skip("/dev/shm can be hidden from a process by root only, with unshare")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    start_node(prefix=[*apart, f'{hide} && exec "$@"', "sh"], map=map_file)
    client.image_publisher().publish(image_message(picture(0)))
    (answer,) = client.wait_for_answers(1)
    assert answer.candidates[0].place.startswith("größe_")
