"""Use lira from a plain program, without topics: give an instruction, wait, take the instances, get a goal beside one.

from lira_ros.client import Lira

with Lira() as lira:
search = lira.submit("find something to sit on near the window")
for instance in search.wait(timeout_s=120.0):
print(instance.label, instance.centroid, instance.verdicts[search.id].reason)
if search.instances:
goal = lira.goals_beside(search.instances[0])[0]
print(f"drive to {goal.x_m:.2f}, {goal.y_m:.2f} and turn to {goal.yaw_rad:.2f}")
"""

from lira_ros.ros.errors import ServiceError
from lira_ros.ros.searching import Goal, Lira, Search

__all__ = ["Goal", "Lira", "Search", "ServiceError"]
