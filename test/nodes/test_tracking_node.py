"""The tracking node over DDS, with a tracker that follows the colour of what it was shown."""

import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from lira_ros.nodes.tracking_node import TrackingNode
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.ros import qos
from lira_ros.ros.conversions.image import color_to_compressed, ids_from_image, image_to_message
from lira_ros.ros.conversions.time import stamp_to_ns

SIZE = (48, 64)
FRAME = "camera_color_optical_frame"
PERIOD_NS = 100_000_000
RED, BLUE = (200, 20, 20), (20, 20, 200)


class ByColor:
    def __init__(self):
        self.colors = {}
        self.starts = 0

    def start(self, color, masks):
        self.starts += 1
        self.colors = {number: np.median(color[mask], axis=0) for number, mask in masks.items()}

    def update(self, color):
        return {number: np.abs(color - wanted).max(axis=-1) < 30 for number, wanted in self.colors.items()}


def picture(column, blue=False):
    color = np.full((*SIZE, 3), 120, np.uint8)
    color[10:20, column : column + 10] = RED
    if blue:
        color[30:40, 5:15] = BLUE
    return color


def ids_of(color):
    return np.select([(color == RED).all(axis=-1), (color == BLUE).all(axis=-1)], [7, 9], 0).astype(np.int32)


class Scene:
    """Publishes images and the masks drawn for them."""

    def __init__(self, peer, compressed=False):
        kind, ending = Image, ""
        if compressed:
            from sensor_msgs.msg import CompressedImage

            kind, ending = CompressedImage, "/compressed"
        self.images = peer.create_publisher(kind, f"color/image{ending}", qos.stream(50))
        self.masks = peer.create_publisher(Image, "instance_masks", qos.stream(50))
        self.compressed = compressed
        self.stamp_ns = 0

    def connected(self):
        return all(item.get_subscription_count() for item in (self.images, self.masks))

    def show(self, color):
        self.stamp_ns += PERIOD_NS
        message = image_to_message(color, "rgb8", self.stamp_ns, FRAME)
        if self.compressed:
            message = color_to_compressed(color, message.header, quality=0)
        self.images.publish(message)
        return self.stamp_ns

    def draw(self, ids, stamp_ns=None, frame=FRAME):
        self.masks.publish(image_to_message(ids, "32SC1", stamp_ns or self.stamp_ns, frame))


@pytest.fixture
def tracking(spinner, wait_for, monkeypatch):
    def start(tracker=None, active=True, **values):
        if tracker is not None:
            monkeypatch.setattr(TrackingNode, "create_tracker", lambda self: tracker)
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = spinner.add(TrackingNode(parameter_overrides=overrides))
        if active:
            wait_for(lambda: node.state == "active", 60, "the start of the tracking node")
        return node

    return start


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_instances_are_followed_in_images_that_the_map_did_not_draw(tracking, peer, collect, wait_for, transport):
    tracker = ByColor()
    node = tracking(tracker, image_transport=transport)
    tracked = collect(Image, "tracked_masks", qos.stream())
    scene = Scene(peer, transport == "compressed")
    wait_for(scene.connected, what="the subscriptions")
    first = scene.show(picture(0))
    scene.draw(ids_of(picture(0)), first)
    wait_for(lambda: tracker.starts == 1, what="the first start")
    for column in (10, 30):
        stamp_ns = scene.show(picture(column))
        wait_for(
            lambda stamp_ns=stamp_ns: tracked and stamp_to_ns(tracked[-1].header.stamp) == stamp_ns, what="the masks"
        )
        assert tracked[-1].header.frame_id == FRAME
        np.testing.assert_array_equal(ids_from_image(tracked[-1], "t"), ids_of(picture(column)))
    assert tracker.starts == 1
    # The map draws the masks of an image later than the image comes; a new instance is taken up from that image.
    late = scene.show(picture(20, blue=True))
    newest = scene.show(picture(25, blue=True))
    scene.draw(ids_of(picture(20, blue=True)), late)
    wait_for(lambda: tracker.starts == 2, what="the start with the new instance")
    newest = scene.show(picture(28, blue=True))
    wait_for(lambda: stamp_to_ns(tracked[-1].header.stamp) == newest, what="the masks of both")
    assert set(np.unique(ids_from_image(tracked[-1], "t"))) == {0, 7, 9}
    assert not node.statistics.problems()


def test_masks_that_come_before_their_image_wait_for_it_and_others_are_left(tracking, peer, collect, wait_for):
    tracker = ByColor()
    node = tracking(tracker)
    scene = Scene(peer)
    wait_for(scene.connected, what="the subscriptions")
    scene.draw(ids_of(picture(0)), PERIOD_NS)
    wait_for(lambda: node.worker.statistics()["masks"].processed == 1, what="the masks")
    assert tracker.starts == 0
    scene.show(picture(0))
    wait_for(lambda: tracker.starts == 1, what="the start")
    scene.show(picture(10, blue=True))
    scene.draw(ids_of(picture(10, blue=True)), frame="another_camera")
    wait_for(lambda: node.worker.statistics()["masks"].processed == 2, what="the masks of another camera")
    assert node.worker.wait_until_idle(10)
    assert tracker.starts == 1
    assert not node.statistics.problems()


def test_wrong_masks_and_a_failing_model_are_said_and_the_node_goes_on(tracking, peer, collect, wait_for):
    class Failing(ByColor):
        def update(self, color):
            if (color == BLUE).all(axis=-1).any():
                raise ReasoningError("the GPU has no memory left")
            return super().update(color)

    tracker = Failing()
    node = tracking(tracker)
    tracked = collect(Image, "tracked_masks", qos.stream())
    scene = Scene(peer)
    wait_for(scene.connected, what="the subscriptions")

    def problems():
        return " ".join(item.text for item in node.statistics.problems().values())

    scene.show(picture(0))
    scene.draw(np.ones((10, 10), np.int32))
    wait_for(lambda: "expected 64 x 48 pixels" in problems(), what="the wrong size")
    scene.draw(ids_of(picture(0)))
    wait_for(lambda: tracker.starts == 1, what="the start")
    scene.show(picture(10, blue=True))
    wait_for(lambda: "no memory left" in problems(), what="the failure")
    stamp_ns = scene.show(picture(20))
    wait_for(lambda: tracked and stamp_to_ns(tracked[-1].header.stamp) == stamp_ns, what="the masks afterwards")
    # A recording that starts again without a clock.
    scene.stamp_ns = 0
    scene.show(picture(0))
    scene.draw(ids_of(picture(0)))
    wait_for(lambda: tracker.starts == 2, what="the start from the beginning")


def test_a_missing_model_is_said_when_the_node_is_configured(tracking, wait_for, tmp_path, monkeypatch):
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    node = tracking(active=False)
    wait_for(lambda: node._error, 60, "the reason")
    assert "sam2-hiera-large" in node._error
    assert node.state == "unconfigured"
