#!/usr/bin/env bash
# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the site of docs/ with Sphinx: build_docs.sh html, or linkcheck. Any warning is an error. Sphinx
# lives in .venv-docs, apart from .venv, whose docutils is another one; the package is read, not run.

set -Eeuo pipefail
trap 'printf "error: %s stopped at line %s\n" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
venv=$root/.venv-docs
list=tools/requirements-docs.txt
python=$(readlink -f .venv/bin/python)
numpy=$(.venv/bin/python -c 'import numpy; print(numpy.__version__)')
wanted=$({ printf '%s %s\n' "$python" "$numpy"; cat "$list"; } | sha256sum | cut -d ' ' -f 1)

# Two makes at a time: the second waits, then finds everything done.
exec 9<"$root/tools"
flock 9
if [ ! -f "$venv/key" ] || [ "$(cat "$venv/key")" != "$wanted" ]; then
    rm -rf "$venv"
    printf 'docs: installing Sphinx into .venv-docs\n'
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
        --requirement "$list" "numpy==$numpy"
    printf '%s\n' "$wanted" >"$venv/key"
fi
"$venv/bin/python" -m sphinx -W --keep-going -q -b "$1" -d "$venv/doctrees" docs "$venv/$1"
printf 'docs: %s\n' "$venv/$1"
