"""Find out whether DDS delivers camera-sized images between two processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from array import array
from dataclasses import dataclass

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from lira_ros.ros import qos
from lira_ros.ros.dds import configure_dds

TOPIC = "lira_doctor/image"
IMAGES, RATE_HZ = 30, 15.0
WIDTH_PX, HEIGHT_PX = 640, 480  # 0.9 MB in rgb8: more than the buffers that Fast DDS has by default
DISCOVERY_S = 10.0
# Best effort may lose the odd image on a loaded machine; default buffers lose half of them.
MINIMUM_SHARE = 0.9
SENDER = ("-m", "lira_ros.ros.delivery")  # what the second Python process runs


@dataclass(frozen=True)
class Delivery:
    """How many test images arrived, in words, whether that is enough, and what mends it when it is not."""

    well: bool
    message: str
    mend: str = ""


def try_delivery() -> Delivery:
    """Send test images from a second process, best effort, and count what arrives here. Takes about 4 s."""
    configure_dds()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("lira_doctor", context=context, use_global_arguments=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    delays_ms: list[float] = []

    def received(message: Image) -> None:
        delays_ms.append((time.time_ns() - message.header.stamp.sec * 10**9 - message.header.stamp.nanosec) * 1e-6)

    node.create_subscription(Image, TOPIC, received, qos.sensor_input())
    sender = subprocess.Popen([sys.executable, *SENDER], env=dict(os.environ))
    try:
        while sender.poll() is None:
            executor.spin_once(timeout_sec=0.05)
        last_s = time.monotonic() + 0.5
        while time.monotonic() < last_s:
            executor.spin_once(timeout_sec=0.05)
    finally:
        if sender.poll() is None:
            sender.kill()
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    if sender.returncode != 0:
        said = "two processes of this machine do not discover each other"
        return Delivery(False, said, "sudo ip link set lo up (the loopback interface must be up)")
    share = len(delays_ms) / IMAGES
    message = f"{len(delays_ms)} of {IMAGES} images of 0.9 MB arrived between two processes"
    if delays_ms:
        message += f", median {sorted(delays_ms)[len(delays_ms) // 2]:.1f} ms"
    if share >= MINIMUM_SHARE:
        return Delivery(True, message)
    return Delivery(False, message, "set FASTRTPS_DEFAULT_PROFILES_FILE to the shipped config/fastdds.xml")


def _send() -> int:
    configure_dds()
    rclpy.init()
    node = Node("lira_doctor_sender")
    publisher = node.create_publisher(Image, TOPIC, qos.sensor_input())
    deadline_s = time.monotonic() + DISCOVERY_S
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > deadline_s:
            return 1
        time.sleep(0.02)
    data = array("B")
    data.frombytes(bytes(WIDTH_PX * HEIGHT_PX * 3))
    message = Image(width=WIDTH_PX, height=HEIGHT_PX, encoding="rgb8", step=3 * WIDTH_PX, data=data)
    for _ in range(IMAGES):
        now_ns = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
        publisher.publish(message)
        time.sleep(1.0 / RATE_HZ)
    time.sleep(0.2)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(_send())
