# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Close the loops of a drive without ROS: images, their times and odometry in, a straight way out.

Usage: python close_loops.py FOLDER, with images and odometry.tum (seconds x y z qx qy qz qw).
"""

import sys
from pathlib import Path

from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.graph.g2o import write_g2o
from floppynet_vpr.graph.loop_closer import LoopCloser
from floppynet_vpr.graph.trajectory import Trajectory, read_tum, write_tum

if len(sys.argv) != 2:
    sys.exit(__doc__)
folder = Path(sys.argv[1])
odometry = read_tum(folder / "odometry.tum")
closer = LoopCloser()
for frame in open_source(folder, rate_hz=10.0):
    pose = odometry.at(frame.stamp_ns, tolerance=0.1)
    if pose is None:
        continue
    step = closer.add(frame.rgb, frame.stamp_ns, pose, frame.name)
    if step.closes is not None:
        print(f"{frame.name} was seen before: node {step.closes.node}, {step.closes.score:.2f}")

done = closer.optimise()
print(f"{done.rejected} of {len(done.weights)} loop closures were taken for wrong")
write_g2o(folder / "graph.g2o", done.graph)
way = Trajectory.of((node.stamp_ns, node.pose) for node in done.graph.nodes)
write_tum(folder / "straight.tum", way)
