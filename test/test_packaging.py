# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The package installs what it promises, and says truly what it needs."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("floppynet_vpr/**/*.py"), *ROOT.glob("launch/*.py")])

# What an imported module is called elsewhere: by pip and by rosdep (None: an extra, not needed by
# default). Modules that are not listed here are ROS packages, named alike everywhere.
DEPENDENCIES: dict[str, tuple[str, str | None]] = {
    "cv2": ("opencv-python-headless", "python3-opencv"),
    "dask": ("distributed", None),
    "distributed": ("distributed", None),
    "faiss": ("faiss-cpu", None),
    "flatbuffers": ("flatbuffers", None),
    "gtsam": ("gtsam", None),
    "llvmlite": ("llvmlite", None),
    "matplotlib": ("matplotlib", "python3-matplotlib"),
    "geographiclib": ("geographiclib", "python3-geographiclib"),
    "numpy": ("numpy", "python3-numpy"),
    "onnxruntime": ("onnxruntime", None),
    "psycopg": ("psycopg", None),
    "rosbags": ("rosbags", None),
    "tflite": ("tflite", None),
    "scipy": ("scipy", "python3-scipy"),
    "torch": ("torch", None),
    "sklearn": ("scikit-learn", "python3-sklearn"),
    "threadpoolctl": ("threadpoolctl", "python3-sklearn"),
    "tqdm": ("tqdm", "python3-tqdm"),
    "yaml": ("PyYAML", "python3-yaml"),
}

# ROS packages whose module is called otherwise.
ROS_PACKAGES = {"tf2_ros": "tf2_ros_py"}


@cache
def setup_arguments() -> dict[str, Any]:
    """What setup.py passes to setuptools."""
    setuptools = pytest.importorskip("setuptools")
    arguments: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", arguments.update)
        patch.chdir(ROOT)
        exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), {})
    return arguments


def console_scripts() -> dict[str, str]:
    """Map each executable to its `module:function`."""
    lines = setup_arguments()["entry_points"]["console_scripts"]
    return dict(re.fullmatch(r"(\w+) = ([\w.]+:\w+)", line).groups() for line in lines)


def requirement_name(requirement: str) -> str:
    """The normalised name in a pip requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


def manifest(package: str) -> ElementTree.Element:
    """The package.xml of a package, parsed."""
    folder = ROOT if package == "floppynet_vpr" else ROOT / package
    return ElementTree.parse(folder / "package.xml").getroot()


def loaded(node: ast.AST) -> list[str]:
    """The library that a call of `libraries.require` or `optional` imports."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return []
    if node.func.id not in ("require", "optional") or not isinstance(node.args[0], ast.Constant):
        return []
    return [node.args[0].value]


def imported_modules() -> set[str]:
    """Top-level modules imported anywhere in the package that are not Python's own or ours."""
    modules = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(), path.name)):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
            else:
                modules.update(loaded(node))
    tops = {module.split(".")[0] for module in modules}
    return tops - set(sys.stdlib_module_names) - {"floppynet_vpr"}


@pytest.mark.parametrize("name", sorted(set(console_scripts()) - {"vpr_node"}))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module_name, function = console_scripts()[name].split(":")
    module = importlib.import_module(module_name)
    with pytest.raises(SystemExit) as exit_info:
        getattr(module, function)(["--help"])
    assert exit_info.value.code == 0
    assert "usage:" in capsys.readouterr().out
    parser = module.build_parser()
    assert parser.description
    assert name in (parser.epilog or ""), "no example in the help"


def test_the_node_is_an_executable_too() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    module_name, function = console_scripts()["vpr_node"].split(":")
    assert callable(getattr(importlib.import_module(module_name), function))


def test_every_command_module_is_an_executable() -> None:
    modules = {path.stem for path in ROOT.glob("floppynet_vpr/commands/*.py")}
    helpers = {
        name
        for name in modules
        if "def build_parser" not in (ROOT / f"floppynet_vpr/commands/{name}.py").read_text()
    }
    assert modules - helpers == set(console_scripts()) - {"vpr_node"}


def test_all_manifests_agree_on_version_and_license() -> None:
    arguments = setup_arguments()
    for package in ("floppynet_vpr", "floppynet_vpr_msgs"):
        root = manifest(package)
        assert root.get("format") == "3"
        assert root.findtext("name") == package
        assert root.findtext("version") == arguments["version"]
        assert root.findtext("license") == arguments["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_every_import_is_declared_for_rosdep() -> None:
    declared = {element.text for element in manifest("floppynet_vpr").iter("exec_depend")}
    needed = {
        DEPENDENCIES.get(module, (module, ROS_PACKAGES.get(module, module)))[1]
        for module in imported_modules()
    }
    assert needed - {None} <= declared


def test_every_import_is_declared_for_pip_and_nothing_else() -> None:
    arguments = setup_arguments()
    named = ("bags", "fast", "fleet", "graph", "import", "train")
    extras = chain(*(arguments["extras_require"][name] for name in named))
    used = {DEPENDENCIES[module] for module in imported_modules() if module in DEPENDENCIES}
    always = {requirement_name(name) for name, rosdep_key in used if rosdep_key}
    assert {requirement_name(name) for name in arguments["install_requires"]} == always
    optional = {requirement_name(name) for name, rosdep_key in used if not rosdep_key}
    assert optional <= {requirement_name(name) for name in extras}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_requirement_is_pinned_within_its_range(python: str) -> None:
    requirements = pytest.importorskip("packaging.requirements")
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    lists = sorted((ROOT / "tools").glob("requirements*.txt"))
    lines = [line for path in lists for line in path.read_text().splitlines()]
    pins: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith("#"):
            pin = requirements.Requirement(line)
            if pin.marker is None or pin.marker.evaluate(here):
                (version,) = (each.version for each in pin.specifier)
                assert pins.setdefault(requirement_name(pin.name), version) == version, line
    arguments = setup_arguments()
    for text in chain(arguments["install_requires"], *arguments["extras_require"].values()):
        requirement = requirements.Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate(here):
            continue
        assert pins[requirement_name(text)] in requirement.specifier, text


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_a_pinned_version_runs_on_all_pythons_it_is_pinned_for(python: str) -> None:
    requirements = pytest.importorskip("packaging.requirements")
    specifiers = pytest.importorskip("packaging.specifiers")
    there = {"python_version": python, "python_full_version": f"{python}.13"}
    looked_at = 0
    for line in (ROOT / "tools" / "requirements.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pin = requirements.Requirement(line)
        if pin.marker is not None and not pin.marker.evaluate(there):
            continue
        try:
            installed = importlib.metadata.distribution(pin.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if installed.version in pin.specifier:
            wanted = installed.metadata.get("Requires-Python", "")
            assert there["python_full_version"] in specifiers.SpecifierSet(wanted), line
            looked_at += 1
    if looked_at < 50:
        pytest.skip("this environment has hardly any of the pinned versions")


def test_launch_files_configuration_and_weights_are_installed() -> None:
    arguments = setup_arguments()
    installed = {name for _, names in arguments["data_files"] for name in names}
    for folder in ("config", "launch", "resource", "rtabmap"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)) in installed
    weights = [path.name for path in (ROOT / "floppynet_vpr" / "weights").iterdir()]
    assert weights
    assert all(name.endswith(".fnet") for name in weights)
    # Of setuptools before 69, only what is named here is installed: py.typed, too.
    assert arguments["package_data"] == {"floppynet_vpr": ["py.typed", "weights/*.fnet"]}
    assert set(arguments["packages"]) == {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for path in ROOT.glob("floppynet_vpr/**/__init__.py")
    }


def test_the_wheel_of_the_source_archive_installs_all_of_the_package(tmp_path: Path) -> None:
    setuptools = pytest.importorskip("setuptools")
    if tuple(map(int, setuptools.__version__.split(".")[:2])) < (70, 1):
        pytest.importorskip("wheel", reason="before 70.1 setuptools needs it")
    source = tmp_path / "source"
    made = ("build", "install", "log", "demo_output", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", *made))
    backend = "from setuptools import build_meta; build_meta.build_{}('{}')"
    python = [sys.executable, "-c"]
    subprocess.run([*python, backend.format("sdist", tmp_path)], cwd=source, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    subprocess.run([*python, backend.format("wheel", tmp_path)], cwd=unpacked, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", installed, wheel], check=True)
    package = ROOT / "floppynet_vpr"
    shipped = {
        path.relative_to(ROOT)
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert Path("floppynet_vpr/py.typed") in shipped
    assert {path for path in shipped if not (installed / path).is_file()} == set()


def test_the_messages_are_as_documented() -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    messages = importlib.import_module("floppynet_vpr_msgs.msg")
    services = importlib.import_module("floppynet_vpr_msgs.srv")
    assert messages.LoopClosure.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "query_id": "uint64",
        "detected": "boolean",
        "threshold": "float",
        "candidates": "sequence<floppynet_vpr_msgs/LoopClosureCandidate>",
    }
    assert messages.LoopClosureCandidate.get_fields_and_field_types() == {
        "place_id": "uint64",
        "place": "string",
        "session": "string",
        "stamp": "builtin_interfaces/Time",
        "distance": "float",
        "shift_right": "float",
        "shift_down": "float",
        "bearing_right": "float",
        "bearing_down": "float",
        "frame": "string",
        "score": "float",
        "verified": "boolean",
        "inliers": "int32",
        "pose": "geometry_msgs/Pose",
        "has_pose": "boolean",
        "transform": "geometry_msgs/Transform",
        "transform_covariance": "double[36]",
        "transform_inliers": "int32",
        "has_transform": "boolean",
    }
    assert services.MapFile.Request.get_fields_and_field_types() == {"path": "string"}
    assert services.MapFile.Response.get_fields_and_field_types() == {
        "success": "boolean",
        "message": "string",
    }
    assert services.ForgetPlaces.Request.get_fields_and_field_types() == {
        "first_id": "uint64",
        "end_id": "uint64",
        "position": "geometry_msgs/Point",
        "radius": "double",
    }
    assert services.ForgetPlaces.Response.get_fields_and_field_types() == {
        "success": "boolean",
        "forgotten": "uint64",
        "message": "string",
    }


def test_fast_dds_accepts_the_profile_for_large_images(ros_domain: int) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    profile = ROOT / "config" / "fastdds_large_images.xml"
    largest_image = 3840 * 2160 * 3
    for element in ElementTree.parse(profile).iter():
        if element.tag.endswith(("segment_size", "maxMessageSize")):
            assert int(element.text or 0) > largest_image
    program = "import rclpy; rclpy.init(); rclpy.create_node('profile'); print('created')"
    environment = os.environ | {"FASTDDS_DEFAULT_PROFILES_FILE": str(profile)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "created"
    assert "XML" not in done.stderr, done.stderr
