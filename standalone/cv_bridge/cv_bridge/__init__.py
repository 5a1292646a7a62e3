"""Convert between ROS images and OpenCV images: the part of cv_bridge that lira_ros uses.

Stands in for the ROS 2 package of the same name where only the wheels of rclpy are installed.
"""

from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
