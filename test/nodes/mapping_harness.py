"""What tests of the mapping node do with it: send frames, look at the map where its owner does, find problems."""


def mapper(node, method):
    """Call a method of the mapper where its owner does, in the worker."""
    return node.worker.submit(getattr(node._mapper, method)).result(30)


def mapped(node):
    return mapper(node, "statistics")["frames"] if node.state == "active" else 0


def feed(camera, count, node, wait_for):
    """Send frames one after another, each mapped before the next."""
    for _ in range(count):
        before = mapped(node)
        camera.send(camera.next())
        wait_for(lambda before=before: mapped(node) == before + 1, what="the frame in the map")


def problem(node, text):
    return [item.text for item in node.statistics.problems().values() if text in item.text]
