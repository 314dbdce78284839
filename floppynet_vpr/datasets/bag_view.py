# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Bags as they lie on a disk, made ready for the library that reads them.

What a recorder, an editor or another distribution left differently is put right in a view of the
bag, a temporary folder of links; the bag itself is never touched.
"""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path, PurePath
from shutil import copyfile
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Final

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import open_file

STORAGE_SUFFIXES: Final = (".mcap", ".db3")
"""Suffixes of the files inside a rosbag2."""
ROS1_SUFFIX: Final = ".bag"
"""Suffix of a ROS 1 bag, which is one file."""

_METADATA: Final = "metadata.yaml"
_FACTS: Final = "rosbag2_bagfile_information"
_STORAGE_OF: Final = {".mcap": "mcap", ".db3": "sqlite3"}
_MCAP_MAGIC: Final = b"\x89MCAP0\r\n"


def looks_like_bag(path: Path) -> bool:
    """Tell whether a path is a bag of ROS 2 or ROS 1, sound or not, or a storage file of one."""
    if path.is_file():
        return path.suffix in (*STORAGE_SUFFIXES, ROS1_SUFFIX)
    try:
        return (path / _METADATA).is_file() or any(
            suffix in entry.suffixes for entry in path.glob("*") for suffix in STORAGE_SUFFIXES
        )
    except OSError:  # a folder that may not be looked into
        return False


def readable_view(path: Path, stack: ExitStack) -> Path:
    """Return what to hand to the library in place of a rosbag2; `stack` removes a temporary view.

    Raises VprError where the bag has no metadata, lacks files or may not be read, or there is no
    room for the view.
    """
    part = _readable_part(path)
    files = sorted(part.iterdir()) if part.is_dir() else [part]
    for file in files:
        if file.is_file():
            require_readable(file)
    metadata = _amended_metadata(part) if part.is_dir() else None
    logged = [file for file in files if file.suffix == ".db3" and _log_bytes(file)]
    if metadata is None and not logged:
        return part
    try:
        view = Path(stack.enter_context(TemporaryDirectory(prefix="floppynet_vpr_bag_")))
        for file in files:
            if file not in logged and not file.name.endswith(("-wal", "-shm")):
                (view / file.name).symlink_to(file.absolute())
        for file in logged:
            _merge_log(file, view / file.name)
        if metadata is not None:
            (view / _METADATA).unlink()
            (view / _METADATA).write_text(metadata, "utf-8")
    except (OSError, sqlite3.Error) as error:
        raise VprError(
            f"the bag {part} can only be read from a copy of what is not as it should be in it, "
            f"and that could not be made: {error}. Make room in {gettempdir()}, or name another "
            "folder in TMPDIR"
        ) from error
    return view if part.is_dir() else view / part.name


def require_readable(file: Path) -> None:
    """Raise VprError, with the system's reason, where a file may not be read."""
    try:
        open_file(file).close()
    except OSError as error:
        raise VprError(f"cannot read {file}: {error.strerror}") from error


def rescue_of(file: Path) -> str:
    """What gets the messages out of a storage file that was cut off, as a sentence's end."""
    if file.suffix == ".mcap":
        return f"`mcap recover {file} -o recovered.mcap` saves what was written"
    if file.suffix == ".db3":
        return f'`sqlite3 {file} ".recover" | sqlite3 recovered.db3` saves what is left'
    if file.suffix == ".bag":
        return f"`rosbag reindex {file}` of ROS 1 may rescue it"
    return "by its name it is no bag: .bag, .mcap or .db3"


def unfinished_mcap(part: Path) -> Path | None:
    """The first mcap file of a bag whose recorder did not end it; None if there is none."""
    files = sorted(part.glob("*.mcap")) if part.is_dir() else [part]
    for file in files:
        if file.suffix == ".mcap" and not _has_end_magic(file):
            return file
    return None


def _has_end_magic(file: Path) -> bool:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - len(_MCAP_MAGIC)))
        return size > len(_MCAP_MAGIC) and stream.read() == _MCAP_MAGIC


def _readable_part(path: Path) -> Path:
    """Return the folder wherever it describes the file."""
    if path.is_dir():
        if (path / _METADATA).is_file():
            return path
        if not any(file.suffix in STORAGE_SUFFIXES for file in path.iterdir()):
            raise VprError(
                f"{path} is no bag: it has neither {_METADATA} nor a file of messages "
                f"({', '.join(STORAGE_SUFFIXES)})"
            )
        unfinished = unfinished_mcap(path)
        raise VprError(
            f"{path} has no {_METADATA}, because recording was not ended properly: "
            + (f"{rescue_of(unfinished)}; build " if unfinished else "build ")
            + f"it anew with `ros2 bag reindex {path}`, or name the storage file"
        )
    siblings = [file for file in path.parent.iterdir() if file.suffix in STORAGE_SUFFIXES]
    if siblings == [path] and (path.parent / _METADATA).is_file():
        return path.parent
    return path


def _amended_metadata(folder: Path) -> str | None:
    """The text of a bag's metadata with what can be put right; None where all is well.

    What is damaged beyond that is left for the library to complain about.
    """
    import yaml

    text = (folder / _METADATA).read_text("utf-8", "replace")
    try:
        content: Any = yaml.safe_load(text)
        facts = content[_FACTS]
        named = [PurePath(file).name for file in facts["relative_file_paths"]]
        topics = [item["topic_metadata"] for item in facts["topics_with_message_count"]]
    except (yaml.YAMLError, KeyError, TypeError):
        return None
    _require_files(folder, named)
    amended = False
    if not facts.get("storage_identifier"):  # `ros2 bag reindex` writes none
        kinds = {_STORAGE_OF.get(suffix) for file in named for suffix in PurePath(file).suffixes}
        facts["storage_identifier"] = next(iter(kinds - {None}), "")
        amended = True
    for topic in topics:
        sound = _sound_qos(topic.get("offered_qos_profiles"))
        if sound != topic.get("offered_qos_profiles"):
            topic["offered_qos_profiles"] = sound
            amended = True
    return yaml.safe_dump(content, allow_unicode=True) if amended else None


def _require_files(folder: Path, named: list[str]) -> None:
    missing = [file for file in named if not (folder / file).is_file()]
    if not missing:
        return
    others = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in named and set(entry.suffixes) & set(STORAGE_SUFFIXES)
    )
    raise VprError(
        f"the bag {folder} lacks {', '.join(missing)}, which its {_METADATA} names"
        + (
            f"; it has {', '.join(others)}: if that was renamed, give it its old name again, or "
            "name the file itself"
            if others
            else ": copy the bag again, with all its files"
        )
    )


def _sound_qos(noted: Any) -> Any:
    """QoS as noted if the library can read it, else what can be made of it, else none.

    Texts edited by hand or by scripts often have their line ends as a backslash and an n.
    """
    from rosbags.rosbag2.metadata import parse_qos

    if not isinstance(noted, str):
        return noted
    for text in (noted, noted.replace("\\n", "\n")):
        try:
            parse_qos(text)
        except Exception:  # the library raises what its parts raise
            continue
        return text
    return ""


def _merge_log(file: Path, copy: Path) -> None:
    """Copy an sqlite file together with its log, and merge the log into the copy.

    Beside a file whose recorder was killed, or that was copied while it was written, sqlite's log
    (-wal) still has the last messages, and the library does not look there.
    """
    for name in (file.name, f"{file.name}-wal"):
        copyfile(file.with_name(name), copy.with_name(name))
    with closing(sqlite3.connect(copy)) as database:
        database.execute("PRAGMA journal_mode=DELETE")


def _log_bytes(file: Path) -> int:
    log = file.with_name(f"{file.name}-wal")
    return log.stat().st_size if log.is_file() else 0
