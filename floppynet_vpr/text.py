# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
r"""Text that goes out: printed, logged or sent in messages.

Names of files are any bytes. Inside the package they are kept as Python gives them, bytes that are
no UTF-8 as lone surrogates (PEP 383), so that they lead back to the file. Outside nobody can read
these: such a byte is shown as \xdf, and what a terminal's encoding lacks likewise.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

_SHOWN = "floppynet_vpr_shown"


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    letters = (
        f"\\x{ord(letter) - 0xDC00:02x}"
        if "\udc80" <= letter <= "\udcff"
        else letter.encode("ascii", "backslashreplace").decode()
        for letter in wrong
    )
    return "".join(letters), error.end


codecs.register_error(_SHOWN, _escape)


def shown(text: str) -> str:
    """Give text as it can go out, in UTF-8."""
    return text.encode("utf-8", _SHOWN).decode("utf-8")


def utf_8(name: str) -> str:
    """Give part of a path as in a UTF-8 locale, for maps to be the same from every other."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def let_streams_take_anything() -> None:
    """Have stdout and stderr print every text, whatever their encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_SHOWN)
