"""The report of the doctor as JSON, for bug reports: versions, parameters and findings, and no secrets."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lira_ros import __version__
from lira_ros.doctor.cameras import lost_share, rate_of
from lira_ros.doctor.finding import Finding, exit_code
from lira_ros.doctor.installation import versions
from lira_ros.doctor.observation import Observation, TopicObservation
from lira_ros.doctor.system import DdsFacts

VERSION = 1
REMOVED = "(removed)"
# Names whose values nobody posts into a bug report. Parameters that name a variable or a file hold no secret
# themselves, but are removed as well rather than guessed about.
_SECRET = re.compile(
    r"(?<![a-z])key(?![a-z])|token|secret|password|passwd|credential|authorization|cookie", re.IGNORECASE
)
# user:password@ in an address, and what follows a question mark there.
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(?<=\?)\S+")


def report(findings: Sequence[Finding], facts: DdsFacts, observation: Observation | None = None) -> dict[str, Any]:
    """Return the report as values that JSON knows. Text is cleaned of secrets and of the name of the home folder."""
    result: dict[str, Any] = {
        "report_version": VERSION,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "lira_ros": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": versions(),
        "dds": asdict(facts),
        "exit_code": exit_code(findings),
        "findings": [
            {
                "subject": item.subject,
                "result": item.sign.lower(),
                "message": item.message,
                "mend": "" if item.well else item.mend,
            }
            for item in findings
        ],
    }
    if observation is not None:
        result["observed_s"] = round(observation.seconds, 2)
        result["setup"] = asdict(observation.setup)
        result["topics"] = [_topic(item) for item in observation.topics]
        result["nodes"] = {
            item.name: {"use_sim_time": item.use_sim_time, "parameters": dict(item.parameters)}
            for item in observation.nodes
        }
        result["diagnostics"] = [asdict(item) for item in observation.reports]
        result["transforms"] = sorted({f"{item.parent} -> {item.child}" for item in observation.transforms})
    cleaned = clean(result)
    assert isinstance(cleaned, dict)
    return cleaned


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report; raises OSError that names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def clean(value: Any, name: str = "") -> Any:
    """Return a value without secrets: those of secret names are removed, addresses lose user and query, home is ~."""
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(item, str(key)) for key, item in value.items()}
    if value and isinstance(value, str | list | tuple) and _SECRET.search(name):
        return REMOVED
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if isinstance(value, str):
        text = _USER.sub(f"{REMOVED}@", value)
        text = _QUERY.sub(REMOVED, text) if "://" in text else text
        # A JSON object in a parameter (extra_fields) may hold anything under any name.
        if text.lstrip().startswith("{") and _SECRET.search(text):
            return REMOVED
        return text.replace(str(Path.home()), "~")
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value)


def _topic(item: TopicObservation) -> dict[str, Any]:
    return {
        "role": item.role,
        "name": item.name,
        "type": item.type_name,
        "qos": item.qos,
        "publishers": [asdict(end) for end in item.publishers],
        "messages": len(item.arrivals),
        "rate_hz": round(rate_of(item), 2),
        "lost_share": round(lost_share(item), 3),
        "age_s": round(sorted(one.age_s for one in item.arrivals)[len(item.arrivals) // 2], 4)
        if item.arrivals
        else None,
    }
