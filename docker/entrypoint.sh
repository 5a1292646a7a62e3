#!/bin/bash
# Source ROS 2 and lira, then become the command.
set -e
# shellcheck source=/dev/null
source /opt/ros/jazzy/setup.bash
# shellcheck source=/dev/null
source /opt/lira/install/setup.bash
# `lira` lies where ros2 run finds it, as of every ROS 2 package.
export PATH="/opt/lira/install/lib/lira_ros:${PATH}"
# Images need larger buffers than Fast DDS has by default; a profile of the user stays in force.
export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-/opt/lira/install/share/lira_ros/config/fastdds.xml}"
exec "$@"
