"""Map only the instances that conform to an instruction, while the robot moves."""

__version__ = "0.1.0"
