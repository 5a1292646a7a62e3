"""What is wrong with an installation or with a running robot, and the one line that mends it. Plain code, no ROS."""
