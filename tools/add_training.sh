#!/usr/bin/env bash
# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
#
# Adds the extra [train] to .venv, which tools/make_env.sh has made: PyTorch for the CPU. Nothing happens
# when it is there already.

set -Eeuo pipefail
trap 'printf "error: %s stopped at line %s\n" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
python=$root/.venv/bin/python
list=tools/requirements-training.txt
key=$root/.venv/keys/training
wanted=$(cat .venv/keys/wheels "$list" | sha256sum | cut -d ' ' -f 1)

# Two makes at a time: the second waits, then finds everything done.
exec 9<"$root/tools"
flock 9
if [ -f "$key" ] && [ "$(cat "$key")" = "$wanted" ]; then
    exit 0
fi
rm -f "$key"
printf 'env: adding PyTorch for training (about 200 MB)\n'
# Without resolving: the build for GPUs names libraries of gigabytes as its dependencies.
"$python" -m pip install -qq --disable-pip-version-check --no-input --no-deps --requirement "$list"
if [ "$("$python" -c 'import torch; print(torch.version.cuda)')" != None ]; then
    "$python" -m pip uninstall -qq --yes torch
    printf 'error: what pip found is not a CPU build of PyTorch that works here\n' >&2
    printf '       name an index that has one: PIP_EXTRA_INDEX_URL=<index> make train-env\n' >&2
    exit 1
fi
printf '%s\n' "$wanted" >"$key.new" && mv "$key.new" "$key"
