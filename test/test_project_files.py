# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The files that a project shows to the world agree with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_packaging import manifest, setup_arguments

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
DISTRIBUTIONS = {"humble", "jazzy", "kilted", "rolling"}


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    arguments = setup_arguments()
    assert citation["version"] == arguments["version"]
    assert citation["license"] == arguments["license"]
    assert citation["references"][0]["title"] in (ROOT / "README.md").read_text().replace("\n", " ")


def test_the_changelog_is_one_that_ros_tools_read() -> None:
    changelog = pytest.importorskip("catkin_pkg.changelog", reason="needs catkin_pkg")
    path = ROOT / "CHANGELOG.rst"
    read = changelog.get_changelog_from_path(str(path), "floppynet_vpr")
    released = [version for version, _, _ in read.foreach_version()]
    assert all(read.get_content_of_version(version) for version in released)
    first = re.findall(r"^(.+)\n-{5,}$", path.read_text("utf-8"), re.MULTILINE)[0]
    # What catkin_prepare_release turns into the version's heading, or that heading.
    assert first == "Forthcoming" or first.startswith(f"{setup_arguments()['version']} (")
    assert released or first == "Forthcoming"


@pytest.mark.parametrize("package", ["floppynet_vpr", "floppynet_vpr_msgs"])
def test_a_manifest_has_author_maintainer_and_url(package: str) -> None:
    for element in ("author", "maintainer", "url"):
        assert manifest(package).findtext(element), element


def test_colcon_builds_on_every_distribution_that_the_readme_names() -> None:
    (colcon,) = (path for path in WORKFLOWS if path.stem == "colcon")
    job = yaml.safe_load(colcon.read_text("utf-8"))["jobs"]["colcon"]
    matrix = job["strategy"]["matrix"]["include"]
    assert {entry["distribution"] for entry in matrix} == DISTRIBUTIONS
    assert any(entry["runner"].endswith("arm") for entry in matrix)
    readme = (ROOT / "README.md").read_text()
    assert all(name.capitalize() in readme for name in DISTRIBUTIONS)


def test_workflows_make_what_the_makefile_has() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = [
        target
        for workflow in WORKFLOWS
        for step in steps(workflow)
        for target in re.findall(r"^make ([\w-]+)", step.get("run", ""), re.MULTILINE)
    ]
    assert {"test", "docs", "test-no-ros"} <= set(made) <= set(targets)


def test_hooks_before_a_commit_run_programs_that_make_installs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    pinned = (ROOT / "tools" / "requirements.txt").read_text()
    for hook in config["repos"][0]["hooks"]:
        program = Path(hook["entry"].split()[0])
        assert program.parent == Path(".venv/bin")
        assert program.name == "python" or re.search(rf"^{program.name}==", pinned, re.MULTILINE)
