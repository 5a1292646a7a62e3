import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lira_ros.mapping import page_folder
from lira_ros.mapping.page_folder import PageFolder, default_parent, remove_left_behind

KEEP = """
import sys, time
from pathlib import Path
from lira_ros.mapping.page_folder import PageFolder
folder = PageFolder(Path(sys.argv[1]))
(folder.path / "1.lira").write_bytes(b"voxels")
print(folder.path, flush=True)
{then}
"""


def started(parent, then):
    process = subprocess.Popen(
        [sys.executable, "-c", KEEP.format(then=then), str(parent)], stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_private_and_removed_by_close(tmp_path):
    folder = PageFolder(tmp_path / "made" / "on the way")
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "1.lira").write_bytes(b"voxels")
    folder.close()
    folder.close()
    assert not folder.path.exists()


def test_a_folder_goes_with_its_process(tmp_path):
    process, path = started(tmp_path, "raise SystemExit(3)")
    assert process.wait(60) == 3
    assert path.name
    assert not path.exists()


def test_a_folder_of_a_killed_process_is_removed_by_the_next_and_nothing_else_is(tmp_path):
    process, path = started(tmp_path, "time.sleep(600)")
    other = PageFolder(tmp_path)
    for name in ("lira_map_pages_x_y", "lira_map_pages_1", f"some_{path.name}"):
        (tmp_path / name).mkdir()
    (tmp_path / "lira_map_pages_999999999_file").write_bytes(b"")
    remove_left_behind(tmp_path)
    assert path.exists()  # its process is alive
    process.kill()
    process.wait(60)
    process.stdout.close()
    kept = sorted(p.name for p in tmp_path.iterdir() if p != path)
    remove_left_behind(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == kept
    assert other.path.exists()


def test_a_folder_in_use_by_a_process_of_another_container_stays(tmp_path, monkeypatch):
    folder = PageFolder(tmp_path)
    monkeypatch.setattr(
        page_folder, "_is_alive", lambda process_id: False
    )  # ids of other containers are not known here
    remove_left_behind(tmp_path)
    assert folder.path.exists()
    folder.close()


def test_the_end_of_a_forked_copy_leaves_the_folder(tmp_path):
    then = "import os\nif os.fork() == 0:\n    sys.exit(0)\nos.wait()\nassert folder.path.exists()\ntime.sleep(0)"
    process, path = started(tmp_path, then)
    assert process.wait(60) == 0
    process.stdout.close()
    assert not path.exists()


def test_a_parent_that_cannot_be_read_is_no_reason_to_stop(tmp_path):
    remove_left_behind(tmp_path / "nowhere")


def test_large_files_go_to_a_disk_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert default_parent() == tmp_path
    monkeypatch.delenv("TMPDIR")
    if not os.access("/var/tmp", os.W_OK):
        pytest.skip("/var/tmp cannot be written here")
    assert default_parent() == Path("/var/tmp")


def test_whoever_maps_many_files_may_open_as_many_as_the_system_allows(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        PageFolder(tmp_path).close()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
