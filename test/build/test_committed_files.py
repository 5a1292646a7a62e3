"""What is committed works anywhere: no paths of one machine, no addresses of package registries."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# Put together from parts, so that this file does not contain what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w.~$}>-])/(?:" + "|".join(["work", "root", "home", "tmp", "Users"]) + r")/\w")
REGISTRY = re.compile(
    "|".join(["py" + r"pi\.org", "python" + "hosted", r"download\.py" + "torch", "files" + r"\.cache"])
)


@pytest.fixture(scope="module")
def committed_texts():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    if len(listed) < 2:
        pytest.skip("this is not a git clone, so there is no list of committed files")
    texts = {}
    for name in filter(None, listed):
        path = REPOSITORY / name
        if path.is_file():
            content = path.read_bytes()
            if b"\0" not in content[:4096]:
                texts[name] = content.decode("utf-8")
    return texts


def hits(texts, pattern):
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_path_of_a_machine(committed_texts):
    found = hits(committed_texts, MACHINE_PATH)
    assert not found, "\n".join(found)


def test_no_registry_is_named(committed_texts):
    found = hits(committed_texts, REGISTRY)
    assert not found, "\n".join(found)


def test_the_patterns_notice_what_they_are_for():
    slash = "/"
    assert MACHINE_PATH.search(f"path = '{slash}home{slash}someone'")
    assert MACHINE_PATH.search(f"open({slash}tmp{slash}x)")
    assert not MACHINE_PATH.search("see docs/work/plan and ../shared/data")
    assert REGISTRY.search("https://py" + "pi.org/simple")


def test_files_are_small(committed_texts):
    large = {
        name: (REPOSITORY / name).stat().st_size for name in committed_texts if (REPOSITORY / name).stat().st_size > 1e6
    }
    assert not large, f"text files above 1 MB do not belong into the repository: {large}"
