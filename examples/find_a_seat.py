"""Ask for a seat, wait until one is found, and say where a robot can stand beside it.

Start the nodes first, for example:  ros2 launch lira_ros lira.launch.py bag:=room:default
Then:                                python examples/find_a_seat.py
"""

from lira_ros.client import Lira, ServiceError

with Lira() as lira:
    search = lira.submit("find something to sit on near the window")
    for instance in search.wait(timeout_s=120.0):
        print(f"{instance.label} at {instance.centroid.round(2)}: {instance.verdicts[search.id].reason}")
    print(f"{search.status.state.name}: {search.status.reason}")
    for instance in search.instances[:1]:
        try:
            goal = lira.goals_beside(instance)[0]
            print(f"stand at x {goal.x_m:.2f} m, y {goal.y_m:.2f} m, facing {goal.yaw_rad:.2f} rad")
        except ServiceError as error:
            print(error)
    search.cancel()
