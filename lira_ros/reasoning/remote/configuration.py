"""What can be set of the remote back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter

BOX_UNIT_CHOICES = ("auto", "relative_1000", "relative_1", "pixels")
JUDGE_CHOICES = ("never", "open")


@dataclass(frozen=True)
class ServerConfiguration:
    """Which OpenAI-compatible server is asked, and how."""

    url: str = parameter("", "Address of an OpenAI-compatible server, up to and with its version: http://host:8000/v1")
    model: str = parameter("", "Name of the model at the server; empty = the first that the server lists")
    api_key_variable: str = parameter(
        "", "Name of the environment variable that holds the key (the name, never the key itself); empty = no key"
    )
    api_key_file: str = parameter("", "File that holds the key; read once, at the start; empty = no file")
    ca_file: str = parameter(
        "", "PEM file of the authorities that vouch for an https server; empty = those of the system"
    )
    timeout_s: float = parameter(
        8.0,
        "Most time for one request, from its start to the last byte of the answer [s]; models that think or run "
        "without a GPU need more",
        minimum=0.1,
        maximum=600.0,
    )
    connect_timeout_s: float = parameter(
        3.0, "Most time to reach the server, TLS included [s]", minimum=0.1, maximum=60.0
    )
    max_answer_tokens: int = parameter(1024, "Longest answer of the model [tokens]", minimum=16, maximum=32768)
    extra_fields: str = parameter(
        "",
        "JSON object of further fields that go into every request, for what one server alone knows, such as "
        '{"chat_template_kwargs": {"enable_thinking": false}}',
    )


@dataclass(frozen=True)
class RemoteConfiguration(ServerConfiguration):
    """Which server answers about keyframes, and what it is sent."""

    parallel_calls: int = parameter(
        4,
        "Most requests in flight at once; of one instruction there is never more than one",
        minimum=1,
        maximum=64,
    )
    box_units: str = parameter(
        "auto",
        "How the model gives boxes: relative_1000 = thousandths of the image, relative_1 = fractions of it, "
        "pixels = pixels of the image sent; auto = by the name of the model",
        choices=BOX_UNIT_CHOICES,
    )
    max_image_side_px: int = parameter(
        1024, "The image is sent smaller when its longer side is above this [px]", minimum=56, maximum=8192
    )
    jpeg_quality: int = parameter(85, "JPEG quality of the image sent [percent]", minimum=10, maximum=100)


@dataclass(frozen=True)
class JudgeConfiguration(ServerConfiguration):
    """Whether a language model at a server judges the table of instances, and which."""

    when: str = parameter(
        "never",
        "open = for instructions that state a need or describe freely, where names and measures cannot decide; never = "
        "no server is asked",
        choices=JUDGE_CHOICES,
    )
    period_s: float = parameter(
        2.0, "Least time between two questions about one instruction [s]", minimum=0.1, maximum=3600.0
    )
    record_exchanges: str = parameter(
        "", "File, of its own, to which every exchange with the judge is appended; empty = none"
    )
    replay_exchanges: str = parameter(
        "", "File of recorded exchanges that answers instead of a server; empty = a server is asked"
    )
