"""The ROS 2 nodes, one file each; they contain no algorithms."""

from lira_ros.library_threads import use_one_thread

use_one_thread()
