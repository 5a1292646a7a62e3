"""Nothing outside of the folder is touched, and a writer that is killed at any moment loses no file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lira_ros.state.guarded_folder import FolderError, GuardedFolder


@pytest.fixture
def folder(tmp_path):
    return GuardedFolder(tmp_path / "maps")


def content(folder, name):
    with folder.reading(name) as file:
        return file.read()


def put(folder, name, data):
    folder.write(name, lambda file: file.write(data))


def test_what_is_written_is_read_and_replaced(folder):
    with pytest.raises(FileNotFoundError):
        content(folder, "a")
    put(folder, "a", b"one")
    put(folder, "a", b"two")
    assert content(folder, "a") == b"two"
    assert os.listdir(folder.path) == ["a"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "/etc/passwd", ".hidden", "a\0", "a\nb", "ä", "a" * 201]
)
def test_names_that_are_no_names_are_refused(folder, name):
    put(folder, "a", b"")
    for call in (lambda: put(folder, name, b"x"), lambda: content(folder, name)):
        with pytest.raises(FolderError, match="name: expected 1 to 200"):
            call()


def test_links_are_neither_followed_nor_replaced(folder, tmp_path):
    put(folder, "a", b"")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (folder.path / "link").symlink_to(secret)
    (folder.path / "dangling").symlink_to(tmp_path / "made")
    (folder.path / "inside").symlink_to("a")
    for name in ("link", "dangling", "inside"):
        with pytest.raises(FolderError, match="symbolic link, which is not followed"):
            content(folder, name)
        with pytest.raises(FolderError, match="a symbolic link has this name and is not replaced"):
            put(folder, name, b"mine")
    assert secret.read_bytes() == b"secret"
    assert not (tmp_path / "made").exists()


def test_a_link_that_is_put_in_place_while_the_file_is_written_is_not_followed(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")

    def write(file):
        (folder.path / "a").symlink_to(secret)
        file.write(b"mine")

    folder.write("a", write)
    assert secret.read_bytes() == b"secret"
    assert content(folder, "a") == b"mine"


def test_a_folder_that_is_swapped_while_the_file_is_written_gets_nothing(folder, tmp_path):
    put(folder, "a", b"old")
    other = tmp_path / "other"
    other.mkdir()

    def write(file):
        folder.path.rename(tmp_path / "moved")
        folder.path.symlink_to(other)
        file.write(b"mine")

    folder.write("a", write)
    assert os.listdir(other) == []
    assert (tmp_path / "moved" / "a").read_bytes() == b"mine"


def test_what_is_no_plain_file_is_refused(folder):
    put(folder, "a", b"")
    (folder.path / "folder").mkdir()
    os.mkfifo(folder.path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(FolderError, match="not a plain file"):
            content(folder, name)
        with pytest.raises(FolderError, match="no plain file has this name"):
            put(folder, name, b"")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(folder):
    put(folder, "a", b"old")

    def write(file):
        file.write(b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        folder.write("a", write)
    assert content(folder, "a") == b"old"
    assert os.listdir(folder.path) == ["a"]


@pytest.mark.parametrize("where", ["/proc/lira", "/sys"])
def test_a_place_where_nothing_can_be_written_is_named(where):
    with pytest.raises(FolderError, match=where):
        put(GuardedFolder(Path(where)), "a", b"")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from lira_ros.state.guarded_folder import FolderError, GuardedFolder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    GuardedFolder(Path(sys.argv[1])).write("a", lambda file: [file.write(bytes(500)) for _ in range(9)])
except FolderError as error:
    print(error)
"""


def test_a_disk_that_is_full_leaves_the_old_file(folder):
    put(folder, "a", b"old")
    ran = subprocess.run([sys.executable, "-c", FULL_DISK, folder.path], capture_output=True, text=True, check=True)
    assert f"{folder.path}/a: File too large" in ran.stdout
    assert content(folder, "a") == b"old"
    assert os.listdir(folder.path) == ["a"]


WRITER = """
import sys
from pathlib import Path
from lira_ros.state.guarded_folder import GuardedFolder
folder = GuardedFolder(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(1000000):
    text = b"%d " % number
    folder.write("a", lambda file: [file.write(text) for _ in range(2000)])
"""


def test_a_writer_that_is_killed_at_any_moment_loses_no_file(folder):
    put(folder, "a", b"-1 " * 2000)

    for moment in range(8):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, folder.path], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.003 * moment)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        words = content(folder, "a").split()
        assert len(words) == 2000
        assert len(set(words)) == 1

    # What was left behind goes with the next file; what somebody else writes now stays.
    (folder.path / ".partial.1.b").write_bytes(b"of somebody who was killed")

    def write(file):
        file.write(b"new")
        file.flush()
        put(folder, "c", b"meanwhile")
        file.write(b"er")

    folder.write("a", write)
    assert content(folder, "a") == b"newer"
    assert sorted(os.listdir(folder.path)) == ["a", "c"]
