# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets as data: what `config/datasets/*.yaml` say, read by one loader.

A dataset has traverses of one route, pairs of them that are evaluated, a rule that tells which
frames show the same place, and layouts: what a complete download looks like on a disk.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from floppynet_vpr.errors import VprError
from floppynet_vpr.yaml_facts import Facts, read_facts

RULES: Final = ("frames", "metres", "file")
NUMBERINGS: Final = ("index", "name")


@dataclass(frozen=True)
class TruthRule:
    """When two frames show the same place.

    `kind`: "frames": their numbers differ by at most `tolerance`; "metres": their positions do;
    "file": one of `files` says so; "nowhere": none do. In a file, frames go by their "index" from 0
    or by the number in their "name" (`numbering`), and a reference stands for its neighbours up to
    `tolerance`, too; `query_column` is how the header of the column of queries begins.
    """

    kind: str
    tolerance: float
    files: tuple[str, ...] = ()
    numbering: str = "index"
    query_column: str = "query"


@dataclass(frozen=True)
class TraverseFiles:
    """Where a traverse may lie, below the dataset's folder.

    `paths` are tried in turn, `*` allowed, in any case: folders of images, videos or bags.
    `frames` is how many a complete copy has, None if that is not known. `gps` are files with the
    frames' positions and `topic` is the image topic of a bag.
    """

    paths: tuple[str, ...]
    frames: int | None = None
    gps: tuple[str, ...] = ()
    topic: str | None = None


@dataclass(frozen=True)
class Layout:
    """One way in which the dataset comes; its own truth rule where that depends on it."""

    name: str
    traverses: Mapping[str, TraverseFiles]
    truth: TruthRule
    rate_hz: float


@dataclass(frozen=True)
class Pair:
    """The traverse that asks and the one that is the map."""

    query: str
    reference: str


@dataclass(frozen=True)
class DatasetSpec:
    """Everything known about a dataset without looking at a copy of it.

    `folders`: what its folder may be called below a common data folder. `paper_frames`: how many
    frames, evenly spread, the paper took of a long traverse; None if all.
    """

    name: str
    title: str
    about: str
    source: str
    licence: str
    folders: tuple[str, ...]
    pairs: tuple[Pair, ...]
    layouts: tuple[Layout, ...]
    paper_frames: int | None = None


def load_dataset(name: str) -> DatasetSpec:
    """Load a dataset by its name or from a YAML file.

    Raises VprError where there is no such dataset (lists the known ones), or the file is not right.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_dataset(path)
    known = dataset_files()
    if name not in known:
        raise VprError(
            f"unknown dataset {name}: choose one of {', '.join(known)}, or name a .yaml file like "
            f"{catalogue_folder() / 'template.yaml'}"
        )
    return read_dataset(known[name])


def dataset_files() -> dict[str, Path]:
    """The datasets that the package knows, by name."""
    files = sorted(catalogue_folder().glob("*.yaml"))
    return {file.stem: file for file in files if file.stem != "template"}


def catalogue_folder() -> Path:
    """The folder of the dataset files, of the source tree or as installed; raises VprError."""
    installed = Path("share", "floppynet_vpr", "config", "datasets")
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    # An installed module lies in <prefix>/lib/python3.x/site-packages/floppynet_vpr/datasets.
    above = Path(__file__).resolve().parents
    candidates = [above[2] / "config" / "datasets"]
    candidates += [prefix / installed for prefix in (*prefixes, *above[3:], Path(sys.prefix))]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise VprError("the dataset files (share/floppynet_vpr/config/datasets) are not installed")


def read_dataset(path: Path) -> DatasetSpec:
    """Read one dataset file; raises VprError with the place where it is wrong."""
    facts = read_facts(path)
    truth = _truth(facts.nested("truth"), f"{path}: truth is missing")
    rate_hz = facts.number("rate_hz", 10.0)
    layouts = tuple(_layout(item, truth, rate_hz) for item in facts.listed("layouts"))
    pairs = tuple(_pair(item) for item in facts.listed("pairs"))
    spec = DatasetSpec(
        name=path.stem,
        title=facts.text("title"),
        about=facts.text("about", ""),
        source=facts.text("source", ""),
        licence=facts.text("licence", ""),
        folders=facts.texts("folders", (path.stem,)),
        pairs=pairs,
        layouts=layouts,
        paper_frames=facts.count("paper_frames"),
    )
    facts.finish()
    if not pairs or not layouts:
        raise VprError(f"{path}: there must be at least one of pairs and one of layouts")
    known = {name for layout in layouts for name in layout.traverses}
    for pair in pairs:
        for name in (pair.query, pair.reference):
            if name not in known:
                raise VprError(f"{path}: a pair names {name}, which no layout has")
    return spec


def _pair(facts: Facts) -> Pair:
    pair = Pair(facts.text("query"), facts.text("reference"))
    facts.finish()
    return pair


def _layout(facts: Facts, truth: TruthRule, rate_hz: float) -> Layout:
    traverses = facts.nested("traverses")
    if traverses is None:
        raise facts.error("traverses", "a mapping", None)
    found = {}
    for name in traverses.keys():  # noqa: SIM118 - not a dict
        files = traverses.nested(name)
        assert files is not None
        found[name] = TraverseFiles(
            paths=files.texts("paths"),
            frames=files.count("frames"),
            gps=files.texts("gps", ()),
            topic=files.text("topic", "") or None,
        )
        files.finish()
    layout = Layout(
        name=facts.text("name"),
        traverses=found,
        truth=_truth(facts.nested("truth"), "", truth),
        rate_hz=facts.number("rate_hz", rate_hz),
    )
    facts.finish()
    return layout


def _truth(facts: Facts | None, missing: str, default: TruthRule | None = None) -> TruthRule:
    if facts is None:
        if default is None:
            raise VprError(missing)
        return default
    kind = facts.choice("rule", RULES)
    rule = TruthRule(
        kind=kind,
        tolerance=facts.number("tolerance", 0.0 if kind == "file" else None),
        files=facts.texts("files") if kind == "file" else (),
        numbering=facts.choice("numbering", NUMBERINGS, "index"),
        query_column=facts.text("query_column", "query"),
    )
    facts.finish()
    return rule
