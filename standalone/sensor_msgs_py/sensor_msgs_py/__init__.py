"""Python tools for sensor_msgs: the part that lira_ros uses, where only the wheels of rclpy are installed."""
