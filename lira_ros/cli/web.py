"""lira web: serve the page of running nodes, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys

from lira_ros.cli.processes import NodeCommand
from lira_ros.configuration import build, parameters_of
from lira_ros.web.access import TOKEN_VARIABLE, choose_token
from lira_ros.web.configuration import WebConfiguration
from lira_ros.web.static_files import read_static_files


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    defaults = {item.name: item for item in parameters_of(WebConfiguration)}
    parser = subparsers.add_parser("web", help=summary)
    parser.add_argument("--host", default=defaults["host"].default, help=defaults["host"].info.description)
    parser.add_argument("--port", type=int, default=defaults["port"].default, help=defaults["port"].info.description)
    parser.add_argument("--namespace", default="lira", help="namespace of the nodes (default: lira)")
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE, ""),
        help=f"token that the page asks for (default: {TOKEN_VARIABLE}, else made up where one is needed)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Become the web node; what is wrong with the options is said first."""
    build(WebConfiguration, {"host": options.host, "port": options.port})
    if options.token:
        choose_token(options.host, options.token)
    read_static_files()
    node = NodeCommand("web_node", options.namespace, {}, {"web.host": options.host, "web.port": options.port})
    sys.stdout.flush()
    os.execve(sys.executable, node.arguments(), {**os.environ, TOKEN_VARIABLE: options.token})
