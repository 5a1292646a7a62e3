"""lira models: which models there are, whether their files are here and whole, and how they come here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.models.cards import ModelCard, find_card, load_cards
from lira_ros.reasoning.models.files import (
    FOLDER_VARIABLE,
    OFFLINE_VARIABLES,
    Presence,
    format_bytes,
    locate,
    model_folder,
    models_folder,
    offline,
    presence,
    present_files,
)
from lira_ros.reasoning.models.verification import FAULTS, FileState, bytes_to_verify, verify
from lira_ros.reasoning.plain_text import plain_text

if TYPE_CHECKING:
    from lira_ros.reasoning.models.fetching import Plan

# The last column of a wide terminal; fetch shows the whole text.
LICENSE_CHARACTERS = 60


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "models",
        help=summary,
        description=f"Models lie in the folder of {FOLDER_VARIABLE} (now {models_folder()}), one sub-folder each. "
        "Only fetch ever uses the network.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all model cards, and whether their files are here")
    listing.add_argument("names", nargs="*", metavar="NAME", help="only these: names of cards, or .yaml files")
    listing.set_defaults(run=_list)
    checking = actions.add_parser("verify", help="read every file and compare its hash")
    checking.add_argument("names", nargs="*", metavar="NAME", help="only these; without any, all that are here")
    checking.set_defaults(run=_verify)
    fetching = actions.add_parser(
        "fetch",
        help="download a model, or say what to copy where",
        description="The hub is that of HF_ENDPOINT, the key for gated models that of HF_TOKEN. An "
        "interrupted download goes on where it broke when the same command is given again.",
    )
    fetching.add_argument("names", nargs="+", metavar="NAME", help="name of a card (lira models list), or a .yaml file")
    fetching.add_argument(
        "--revision",
        default="",
        help="branch, tag or commit of its first repository, instead of the card's; for one NAME",
    )
    fetching.add_argument(
        "--offline",
        action="store_true",
        help=f"touch no network, only say what to copy where; so does {OFFLINE_VARIABLES[0]}=1",
    )
    fetching.set_defaults(run=_fetch)


def _list(options: argparse.Namespace) -> int:
    rows = [("NAME", "KIND", "FAMILY", "MEMORY", "FILES", "SIZE", "LICENCE")]
    for card in _cards(options.names):
        state = presence(card)
        rows.append(
            (
                card.name,
                card.kind,
                card.family,
                f"{card.memory_gib:.3g} GiB",
                state.value,
                _size(card, state),
                plain_text(card.license, LICENSE_CHARACTERS),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nTheir files belong in {models_folder()} ({FOLDER_VARIABLE}); lira models fetch NAME brings them.")
    return 0


def _verify(options: argparse.Namespace) -> int:
    cards = _cards(options.names)
    if not options.names:
        cards = [card for card in cards if presence(card) != Presence.MISSING]
        if not cards:
            print(f"No model is in {models_folder()} ({FOLDER_VARIABLE}).")
            return 0
    wrong = []
    for card in cards:
        try:
            with tqdm(
                total=bytes_to_verify(card), desc=card.name, unit="B", unit_scale=True, leave=False, disable=None
            ) as bar:
                findings = verify(card, bar.update)
        except ReasoningError as error:
            print(f"{card.name}: {error}")
            wrong.append(card.name)
            continue
        faults = [finding for finding in findings if finding.state in FAULTS]
        well = sum(finding.state == FileState.WELL for finding in findings)
        unproven = sum(finding.state == FileState.UNPROVEN for finding in findings)
        print(
            f"{card.name}: {well} files are right, {len(faults)} are not"
            + (f", of {unproven} no hash is known" if unproven else "")
        )
        for finding in findings:
            if finding.state != FileState.WELL or finding.detail:
                detail = f" ({finding.detail})" if finding.detail else ""
                print(f"  {plain_text(finding.path, 300)}: {finding.state.value}{detail}")
        if faults:
            wrong.append(card.name)
            print(f"  to mend it: lira models fetch {card.name}")
    if wrong:
        print(f"\nTo be mended: {', '.join(wrong)}.")
    return 1 if wrong else 0


def _fetch(options: argparse.Namespace) -> int:
    cards = _cards(options.names)
    if options.revision and len(cards) > 1:
        raise ReasoningError("--revision: is that of one model, several are named")
    if options.offline or offline():
        why = "--offline" if options.offline else f"{OFFLINE_VARIABLES[0]} or {OFFLINE_VARIABLES[1]}"
        print(f"The network is not touched ({why}).", file=sys.stderr)
        return max([_say_what_to_copy(card) for card in cards])
    # The other actions work without httpx.
    from lira_ros.reasoning.models.hub import HubUnreachable

    failed = []
    for card in cards:
        try:
            _fetch_one(card, options.revision)
        except HubUnreachable as error:
            print(f"lira: {error}", file=sys.stderr)
            rest = cards[cards.index(card) :]  # there is no way for the others, either
            if any(presence(item) != Presence.HERE for item in rest):
                print(
                    "\nWithout a network: fetch on a computer that has one and copy the folders of the models into "
                    f"{models_folder()}, or by hand:",
                    file=sys.stderr,
                )
            return max([_say_what_to_copy(item) for item in rest])
        except ReasoningError as error:
            print(f"lira: {error}", file=sys.stderr)
            failed.append(card.name)
        except OSError as error:
            where = f"{model_folder(card)} ({FOLDER_VARIABLE})"
            print(f"lira: model {card.name}: cannot write into {where}: {error.strerror or error}", file=sys.stderr)
            failed.append(card.name)
        except KeyboardInterrupt:
            print("lira: interrupted; the same command goes on from here", file=sys.stderr)
            return 130
    if failed and len(cards) > 1:
        print(f"lira: not fetched: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _fetch_one(card: ModelCard, revision: str) -> None:
    from lira_ros.reasoning.models.fetching import fetch, plan_fetch
    from lira_ros.reasoning.models.hub import Hub

    with Hub() as hub:
        plan = plan_fetch(card, hub, revision)
        _show(plan)
        with tqdm(total=plan.bytes, desc=card.name, unit="B", unit_scale=True, disable=None) as bar:
            folder = fetch(plan, hub, bar.update)
    locate(card)
    print(f"{card.name}: all files are in {folder}")


def _show(plan: Plan) -> None:
    card = plan.card
    print(f"{card.name}: {card.description}\nLicence: {card.license}")
    for listing in dict.fromkeys(item.listing for item in plan.files):
        stated = f", licence there: {listing.license}" if listing.license else ""
        print(f"From {listing.hub_id} at commit {listing.commit}{stated}")
    print(f"{len(plan.files)} files, {format_bytes(plan.bytes)}, into {plan.folder}", flush=True)


def _say_what_to_copy(card: ModelCard) -> int:
    """Say what is missing of a model and return 1, or that nothing is and return 0."""
    try:
        folder = locate(card)
    except ReasoningError as error:
        print(f"lira: {error}", file=sys.stderr)
        return 1
    print(f"{card.name}: all files are in {folder}")
    return 0


def _cards(names: list[str]) -> list[ModelCard]:
    if names:
        return [find_card(name) for name in names]
    return list(load_cards().values())


def _size(card: ModelCard, state: Presence) -> str:
    """Return the size of what is here, else of what the card states, "?" where it states not all."""
    if state != Presence.MISSING:
        return format_bytes(_folder_bytes(model_folder(card)))
    sizes = [file.bytes for repository in card.repositories for file in repository.files]
    known = sum(size for size in sizes if size is not None)
    return "?" if None in sizes else format_bytes(known)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in present_files(folder) if path.is_file())
