"""Whether DDS delivers, as lira doctor finds it out."""

import pytest

from lira_ros.ros import delivery


def test_images_arrive_from_another_process():
    result = delivery.try_delivery()
    assert result.well, result.message
    assert "of 30 images of 0.9 MB arrived between two processes, median" in result.message


@pytest.mark.parametrize(
    ("code", "words", "mend"),
    [
        ("raise SystemExit(1)", "do not discover each other", "sudo ip link set lo up"),
        ("pass", "0 of 30 images of 0.9 MB arrived between two processes", "set FASTRTPS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_what_does_not_arrive_is_said_in_plain_words(code, words, mend, monkeypatch, tmp_path):
    sender = tmp_path / "sender.py"
    sender.write_text(code)
    monkeypatch.setattr(delivery, "SENDER", (str(sender),))
    result = delivery.try_delivery()
    assert not result.well
    assert words in result.message
    assert mend in result.mend
