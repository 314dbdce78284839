# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""docs/release.md and docs/other_networks.md are true as far as this machine can tell."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from test_packaging import console_scripts, setup_arguments

from floppynet_vpr.extraction import create_extractor, load_network
from floppynet_vpr.libraries import LIBRARIES
from floppynet_vpr.parameters import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
RELEASE = (ROOT / "docs" / "release.md").read_text("utf-8")
OTHERS = (ROOT / "docs" / "other_networks.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def test_no_dependency_of_the_package_comes_from_pip() -> None:
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    keys = {str(element.text) for element in root.iter("exec_depend")}
    assert not [key for key in keys if key.endswith("-pip")]
    assert "python3-faiss" not in keys, "rosdep takes it from pip on Ubuntu 24.04"


def test_what_the_node_runs_without_is_in_extras_and_on_the_page() -> None:
    extras = setup_arguments()["extras_require"]
    optional = [*extras["fast"], *extras["bags"]]
    for name, library in LIBRARIES.items():
        least = f">={'.'.join(map(str, library.least))}" if library.least else ">="
        assert any(text.startswith(f"{library.package}{least}") for text in optional), name
        assert re.search(rf"^\| {name} \|", RELEASE, re.MULTILINE)
        assert library.package in blocks(RELEASE, "bash")[0]


def test_each_branch_of_the_release_holds_one_package(tmp_path: Path) -> None:
    packages = pytest.importorskip("catkin_pkg.packages")
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository")
    assert {package.name for package in packages.find_packages(str(ROOT)).values()} == {
        "floppynet_vpr"
    }
    split, *_ = (shlex.split(line) for line in blocks(RELEASE, "bash")[1].splitlines())
    assert split[:3] == ["git", "subtree", "split"]
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-local", ROOT, clone], check=True)
    # The same tree as `git subtree split` makes, which not every git has.
    (prefix,) = (word.removeprefix("--prefix=") for word in split if word.startswith("--prefix="))
    listed = subprocess.run(
        ["git", "archive", f"HEAD:{prefix}"], cwd=clone, check=True, capture_output=True
    )
    folder = tmp_path / "msgs"
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, input=listed.stdout, check=True)
    found = packages.find_packages(str(folder))
    assert {path: package.name for path, package in found.items()} == {".": "floppynet_vpr_msgs"}


def test_versions_of_the_tags_are_those_of_the_packages() -> None:
    version = setup_arguments()["version"]
    assert f"git tag {version}\n" in RELEASE and f"git tag msgs-{version} msgs\n" in RELEASE


def test_commands_about_other_networks_can_be_parsed() -> None:
    launch, commands = 0, 0
    for line in "".join(blocks(OTHERS, "bash")).splitlines():
        words = shlex.split(line)
        if words[:2] == ["ros2", "launch"]:
            given = {word.partition(":=")[0] for word in words if ":=" in word}
            assert given <= {setting.name for setting in SETTINGS} | {"image"}
            launch += 1
        else:
            assert words[:3] == ["ros2", "run", "floppynet_vpr"]
            module_name, _ = console_scripts()[words[3]].split(":")
            importlib.import_module(module_name).build_parser().parse_args(words[4:])
            commands += 1
    assert launch == 1 and commands == 2


def test_a_network_exported_as_the_page_says_makes_a_map(tmp_path: Path) -> None:
    """The page's code, but for the network, which is made here in place of fetched."""
    torch = pytest.importorskip("torch", reason="needs the extra [train]")
    for name in ("onnx", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"exporting needs {name}")
    (code,) = blocks(OTHERS, "python")
    (described,) = blocks(OTHERS, "yaml")
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 16, stride=16),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(256, 512),
    )
    fetched = re.compile(r"network = torch\.hub\.load\(.*?\n\)\n", re.DOTALL)
    assert fetched.search(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec(compile(fetched.sub("", code), "other_networks.md", "exec"), {"network": network})
    model = tmp_path / "eigenplaces.onnx"
    model.with_suffix(".yaml").write_text(described)
    assert load_network(model).shape == (1, 1, 512)
    rgb = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    scaled = (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    batch = torch.from_numpy(scaled.transpose(2, 0, 1)[None].astype(np.float32))
    expected = network(batch).detach().numpy()[0]
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(create_extractor(model).describe(rgb), expected, atol=1e-5)
