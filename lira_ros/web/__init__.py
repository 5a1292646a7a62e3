"""The web page of the suite: a small server with what it shows and who may see it; no ROS here."""
