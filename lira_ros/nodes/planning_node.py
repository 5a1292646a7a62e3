"""What planners ask for: goals beside instances, masks for costmap filters, and searches as an action."""

from __future__ import annotations

from dataclasses import dataclass

from lira_msgs.srv import GetGoalBeside
from lira_ros.configuration import parameter, section
from lira_ros.planning.free_grid import GridConfiguration
from lira_ros.planning.goals import GoalConfiguration, warm_up
from lira_ros.ros.filter_masks_output import FilterMasksConfiguration, FilterMasksOutput
from lira_ros.ros.find_instances import STEP_PERIOD_S, FindInstancesServer
from lira_ros.ros.goals_beside import SERVICE, GoalsBeside
from lira_ros.ros.grid_input import GridInput
from lira_ros.ros.instance_map_input import InstanceChange, InstanceMapInput, InstanceMaps
from lira_ros.ros.navigation import Navigator
from lira_ros.ros.node import LiraNode, NodeConfiguration, run


@dataclass(frozen=True)
class PlanningNodeConfiguration(NodeConfiguration):
    """Parameters of the planning node."""

    rate_hz: float = parameter(
        2.0, "How often instances/goal_pose and the masks are renewed at most", minimum=0.1, maximum=30.0
    )
    robot_frame: str = parameter(
        "base_link", "Frame of the robot in TF; its x axis is to face an instance. Empty = nobody knows where it is"
    )
    navigate_action: str = parameter(
        "/navigate_to_pose", "Action of Nav2 that get_goal_beside sends goals to; actions cannot be remapped"
    )
    grid: GridConfiguration = section(GridConfiguration)
    goal: GoalConfiguration = section(GoalConfiguration)
    filter: FilterMasksConfiguration = section(FilterMasksConfiguration)


class PlanningNode(LiraNode):
    """Follows the instance maps, and a grid of free space while somebody asks for it."""

    node_name = "planning_node"
    configuration_class = PlanningNodeConfiguration
    _instances: InstanceMapInput | None = None
    _goals: GoalsBeside | None = None

    def offer_services(self) -> None:
        """Offer goals and searches."""
        self.offer(GetGoalBeside, SERVICE, self._goal_beside, GetGoalBeside.Response.NOT_CONFIGURED)
        self._searches = FindInstancesServer(self, self._maps)
        # An executor that waits stumbles over an action that is taken down: both last as long as the node.
        self._navigator = Navigator(self, self.configuration.navigate_action)

    def configure(self) -> None:
        """Create the publishers; compile the loops before the first question comes."""
        warm_up()
        c = self.configuration
        self._instances = InstanceMapInput(self, self._take_change)
        self._grid = GridInput(self, c.grid, self._grid_is_needed)
        self._goals = GoalsBeside(self, self._maps, self._grid, self._navigator, c.goal, c.robot_frame)
        self._masks = FilterMasksOutput(self, lambda: self.configuration.filter)
        self.worker.add_periodic("searches", STEP_PERIOD_S, self._searches.step)
        self.worker.add_periodic("publish", 1.0 / c.rate_hz, self._publish)

    def activate(self) -> None:
        """Follow the instance maps, and look whether somebody needs more."""
        assert self._instances is not None
        self._instances.open()
        self._grid.open()

    def deactivate(self) -> None:
        """End the searches, and take back the goal: nobody keeps it right any more."""
        self._searches.end_all(f"{self.get_name()} was deactivated")
        self._grid.close()
        self.worker.submit(self._forget)

    def cleanup(self) -> None:
        """Forget the instances."""
        self._searches.end_all(f"{self.get_name()} was cleaned up")
        if self._goals is not None:
            self._grid.close()
        self._instances = self._goals = None

    def shut_down(self) -> None:
        """End the searches besides everything else."""
        super().shut_down()
        self.cleanup()
        self._searches.destroy()

    def forget_queued(self) -> None:
        """Keep everything: the fusion clears its maps when a session begins, and a mask or goal is of the newest."""

    def diagnose(self) -> dict[str, object]:
        """Return how much is followed."""
        maps = self._maps()
        return {
            "instances": len({number for name in maps.instruction_ids() for number in maps.instances(name)}),
            "searches": self._searches.count,
            "grid": self._grid.describe(),
        }

    # ---- worker ------------------------------------------------------------------------------------------------

    def _maps(self) -> InstanceMaps:
        return self._instances.maps if self._instances is not None else InstanceMaps()

    def _take_change(self, change: InstanceChange) -> None:
        """Do nothing: searches, goals and masks look at the maps at their own rate."""

    def _grid_is_needed(self) -> bool:
        return self._goals is not None and (self._goals.is_watched or self._masks.is_watched)

    def _publish(self) -> None:
        if self.state != "active" or self._goals is None:
            return
        self._goals.publish()
        if self._masks.is_watched:
            placed = self._grid.placed(self._maps().frame_id)
            if placed is not None:
                self._masks.publish(self._maps(), placed)

    def _forget(self) -> None:
        if self._goals is not None and self._instances is not None:
            self._goals.clear()
            self._instances.clear()

    # ---- services ----------------------------------------------------------------------------------------------

    async def _goal_beside(self, request: GetGoalBeside.Request, response: GetGoalBeside.Response) -> None:
        if self.state != "active" or self._goals is None:
            message = f"{self.get_name()} is {self.state}: nothing is known of instances before it is active"
            self.refuse(response, SERVICE, GetGoalBeside.Response.NOT_CONFIGURED, message)
            return
        await self._goals.answer(request, response)


def main(args: list[str] | None = None) -> int:
    """Run the planning node until SIGINT or SIGTERM."""
    return run(PlanningNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
