"""The tables of the README come from the nodes and are current."""

import pytest

from lira_ros.configuration import parameters_of
from lira_ros.nodes import reference


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def test_the_tables_of_the_readme_are_current(readme):
    assert reference.renew(readme) == readme, "run python -m lira_ros.nodes.reference README.md"


def test_the_tables_name_what_the_suite_offers(readme):
    for topic in ("color/image", "camera_pose", "odometry", "keyframes", "candidates", "instance_map", "map/mesh"):
        assert f"| `{topic}` |" in readme
    for service in ("submit_instruction", "get_instance_map", "query_instances", "~/reset"):
        assert f"| `{service}` |" in readme
    assert "describe_parameters" not in readme
    for node_class in reference.NODES_WITH_PARAMETERS:
        for item in parameters_of(node_class.configuration_class):
            assert f"| `{item.name}` |" in readme


@pytest.mark.parametrize("meanings", ["TOPIC_MEANINGS", "SERVICE_MEANINGS"])
def test_every_topic_and_service_needs_a_meaning_and_every_meaning_its_topic(meanings, monkeypatch):
    complete = getattr(reference, meanings)
    name = next(iter(complete))
    monkeypatch.setattr(reference, meanings, {key: text for key, text in complete.items() if key != name})
    with pytest.raises(ValueError, match=f"{name}: its meaning is missing"):
        reference.interface_tables()
    monkeypatch.setattr(reference, meanings, {**complete, "gone": "what was here before"})
    with pytest.raises(ValueError, match="gone: has a meaning"):
        reference.interface_tables()


def test_a_missing_marker_is_named(monkeypatch):
    monkeypatch.setattr(reference, "interface_tables", lambda: ("", ""))
    with pytest.raises(ValueError, match="<!-- generated: topics --> and <!-- end: topics --> are missing"):
        reference.renew("# A text without markers\n")
