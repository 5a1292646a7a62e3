"""The border to ROS 2: conversions, QoS, parameters, clock, diagnostics."""
