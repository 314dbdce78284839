#!/usr/bin/env bash
# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
#
# test_stack.sh pinned|oldest|newest: runs all tests that need no ROS 2, in an environment that has none.
#
#   pinned   the versions of tools/requirements.txt
#   oldest   the lower bounds of setup.py; the next version with a wheel where the Python at hand has none
#   newest   the newest versions that go together
#
# The environment is .venv-<stack>. PYTHON=<path> chooses the interpreter, else it is python3: from 3.10
# on, on any machine for which PyPI has wheels of numpy, OpenCV, faiss and onnxruntime.
# PYTEST_OPTIONS are handed to pytest.

set -Eeuo pipefail
trap 'printf "error: %s stopped at line %s\n" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
stack=$1
case $stack in
    pinned) choice=(--constraint tools/requirements.txt) ;;
    oldest) choice=(--resolution lowest-direct) ;;
    newest) choice=(--upgrade) ;;
    *) printf 'error: %s is no stack: pinned, oldest or newest\n' "$stack" >&2 && exit 2 ;;
esac
venv=$root/.venv-$stack
python=$(readlink -f "$(command -v "${PYTHON:-python3}")")

# What a ROS distribution or another environment put in front.
unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH AMENT_PREFIX_PATH VIRTUAL_ENV

if [ "$(readlink -f "$venv/bin/python")" != "$python" ] || [ ! -d "$venv/resolver/uv" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    # Apart from what is tested, which is to hold nothing but what setup.py asks for.
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
        --target "$venv/resolver" uv 'setuptools<80'
fi
uv() { PYTHONPATH=$venv/resolver "$venv/bin/python" -m uv pip "$@"; }

PYTHONPATH=$venv/resolver "$venv/bin/python" -c '
import setuptools
from distutils.core import run_setup
wanted = run_setup("setup.py", stop_after="init")
extras = (wanted.extras_require[name] for name in ("bags", "fast", "import", "test"))
print(*wanted.install_requires, *sum(extras, []), sep="\n")' >"$venv/wanted.txt"
# Only wheels: a version that would have to be compiled here does not count as there.
uv compile --quiet --no-header --no-annotate --only-binary :all: --python "$venv/bin/python" \
    "${choice[@]}" "$venv/wanted.txt" --output-file "$venv/versions.txt"
uv sync --quiet --python "$venv/bin/python" "$venv/versions.txt"

printf '%s stack: %s, %s\n' "$stack" "$("$python" --version)" "$(paste -sd ' ' "$venv/versions.txt")"
export PYTHONPATH=$root
# shellcheck disable=SC2086 # several options
exec "$venv/bin/python" -m pytest -q ${PYTEST_OPTIONS:-}
