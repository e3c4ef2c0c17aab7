"""The command line of the dead letters.

Rule: commands that change something require a selection, or an explicit "everything".
"""

import argparse
import os
import re
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Final

import orjson

from shared.dlq import box, letters
from shared.dlq.box import Resend
from shared.dlq.letters import Letter, Wanted
from shared.errors import Unavailable
from shared.kafka.publisher import Publisher
from shared.observability import configure_logs
from shared.settings import Settings, told
from shared.topics import WEBHOOKS

BATCH: Final = 500
PRETTY: Final = orjson.OPT_INDENT_2
FAILED: Final = 1
MISUSED: Final = 2
SHOWN_REASON: Final = 100
UNSHOWN: Final = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""Characters that a terminal would interpret, or display in another order."""
OVERTAKEN: Final = (
    "not replayed: {} already has a newer state of its key, and compaction would keep this older "
    "one in its place; drop the letter"
)
HOMELESS: Final = "not replayed: there is no topic {}"
NOT_ALONE: Final = "nothing was done: somebody else is replaying or dropping letters"
STRAYED: Final = "not replayed: it claims to be from {}, but is among the letters of another topic"


async def main(words: Sequence[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.dlq",
        description="Dead letters: records that could not be read. By default only open ones, "
        "about which nothing has been decided yet.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for action, meaning in (
        ("list", "list letters, one per line"),
        ("show", "show letters in full, with their records, as JSON"),
        (
            "replay",
            "publish the records to their topics again; webhooks: `services.ingest redeliver`",
        ),
        ("drop", "close letters without replaying them; they stay in Kafka"),
    ):
        _add_filters(actions.add_parser(action, help=meaning, description=meaning), action)
    chosen = parser.parse_args(words)
    resend = box.to_origin if chosen.action == "replay" else None
    return await run(chosen, resend=resend, besides=[WEBHOOKS] if resend else ())


async def redeliver(words: Sequence[str], resend: Resend) -> int:
    """Replay unreadable webhooks; the exit status."""
    meaning = "Process unreadable webhooks again."
    parser = argparse.ArgumentParser(
        prog="python -m services.ingest redeliver", description=meaning
    )
    _add_filters(parser, "replay")
    chosen = parser.parse_args([*words, "--topic", WEBHOOKS])
    return await run(chosen, resend=resend, besides=())


def _add_filters(parser: argparse.ArgumentParser, action: str) -> None:
    parser.set_defaults(action=action)
    parser.add_argument(
        "names", nargs="*", type=_name, help="letters by name, TOPIC:PARTITION:OFFSET"
    )
    parser.add_argument(
        "--topic",
        type=_topic,
        help="the records' original topic, e.g. pipedrive.persons, or that of the dead letters",
    )
    parser.add_argument(
        "--reason-contains",
        type=_filter,
        metavar="TEXT",
        help="text in the reason, case-insensitive",
    )
    parser.add_argument(
        "--since", type=_instant, metavar="ISO", help="dead-lettered at that time or later"
    )
    parser.add_argument(
        "--until", type=_instant, metavar="ISO", help="dead-lettered before that time"
    )
    parser.add_argument("--company", type=_filter, help="Pipedrive company id")
    parser.add_argument("--key", type=_filter, help="the record's key, e.g. 123:8")
    parser.add_argument("--limit", type=_count, metavar="N", help="at most so many letters")
    parser.add_argument("--json", action="store_true", help="JSON, one object per line")
    if action in ("list", "show"):
        parser.add_argument("--all", action="store_true", help="include closed letters")
    else:
        parser.add_argument(
            "--everything", action="store_true", help="all open letters, without a filter"
        )
        parser.add_argument("--dry-run", action="store_true", help="only show which letters")


def _name(text: str) -> str:
    try:
        return letters.name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not TOPIC:PARTITION:OFFSET") from error


def _topic(text: str) -> str:
    return letters.origin(_filter(text))


def _filter(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("empty, which would filter nothing out")
    return text


def _instant(text: str) -> datetime:
    try:
        return letters.instant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 time") from error


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


async def run(
    chosen: argparse.Namespace, *, resend: Resend | None, besides: Collection[str]
) -> int:
    """`besides` are origins that this command does not replay."""
    configure_logs("WARNING")
    wanted = Wanted(
        frozenset(chosen.names),
        chosen.topic,
        chosen.reason_contains,
        chosen.since,
        chosen.until,
        chosen.company,
        chosen.key,
        settled=getattr(chosen, "all", False),
    )
    changes = chosen.action in ("replay", "drop")
    if changes and wanted.is_everything and not chosen.everything:
        _complain("name letters, give a filter, or pass --everything")
        return MISUSED
    settings = told(Settings)
    act = partial(_act, settings, chosen, wanted, resend, besides)
    try:
        return await (_alone(settings, act) if changes and not chosen.dry_run else act(None))
    except Unavailable as away:
        _complain(str(away))
        return FAILED


async def _alone(settings: Settings, act: Callable[[Publisher], Awaitable[int]]) -> int:
    async with box.deciding(settings) as publisher:
        if publisher is not None:
            return await act(publisher)
    _complain(NOT_ALONE)
    return FAILED


async def _act(
    settings: Settings,
    chosen: argparse.Namespace,
    wanted: Wanted,
    resend: Resend | None,
    besides: Collection[str],
    publisher: Publisher | None,
) -> int:
    """Without a publisher nothing is changed."""
    async with aclosing(box.letters(settings, wanted, _origins(wanted))) as each:
        there = [letter async for letter in each]
    there.sort(key=lambda letter: (letter.time, letter.name))
    found = [letter for letter in there if letter.topic not in besides]
    refused = False
    if chosen.action in ("list", "show"):
        _print(found[: chosen.limit], whole=chosen.action == "show", as_json=chosen.json)
    else:
        refused = await _settle(settings, chosen, found[: chosen.limit], resend, publisher)
    passed_over = len(there) - len(found)
    if passed_over:
        _complain(f"{passed_over} skipped as webhooks, use: python -m services.ingest redeliver")
        refused |= not wanted.is_everything  # they were selected explicitly
    missing = wanted.names - {letter.name for letter in there}
    for name in sorted(missing):
        _complain(f"{name}: {wanted.nothing}")
    if not there and not missing:
        _complain(wanted.nothing)
    return FAILED if missing or refused else 0


async def _settle(
    settings: Settings,
    chosen: argparse.Namespace,
    found: Sequence[Letter],
    resend: Resend | None,
    publisher: Publisher | None,
) -> bool:
    """Returns whether some of them are refused."""
    why = {} if resend is None else await _not_replayed(settings, found, resend)
    settled = [letter for letter in found if letter.name not in why]
    if publisher is None:
        _print(settled, whole=False, as_json=chosen.json)
    else:
        for part in _parts(settled):
            await box.settle(publisher, part, resend)
    done = "would be " if publisher is None else ""
    done += box.DROPPED if resend is None else box.REPLAYED
    sys.stdout.write(f"{len(settled)} {done}\n")
    for letter in found:
        if letter.name in why:
            _complain(f"{letter.name}: {why[letter.name].format(letter.topic)}")
    return bool(why)


async def _not_replayed(
    settings: Settings, found: Sequence[Letter], resend: Resend
) -> dict[str, str]:
    """The reasons by letter; the topic is left as a placeholder."""
    why = dict.fromkeys(await box.homeless(settings, found, resend), HOMELESS)
    why |= dict.fromkeys(await box.overtaken(settings, found), OVERTAKEN)
    return why | dict.fromkeys(box.strayed(found), STRAYED)


def _origins(wanted: Wanted) -> Collection[str]:
    """Topics to read, if known; empty if not."""
    if wanted.topic is not None:
        return [wanted.topic]
    return {letters.origin_of(name) for name in wanted.names}


def _parts(found: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    """Letters about one record stay together."""
    about: dict[tuple[object, ...], list[Letter]] = defaultdict(list)
    for letter in found:
        about[letter.record].append(letter)
    part: list[Letter] = []
    for together in about.values():
        part += together
        if len(part) >= BATCH:
            yield part
            part = []
    if part:
        yield part


def _print(found: Sequence[Letter], *, whole: bool, as_json: bool) -> None:
    """Stops quietly when the reader does: `| head` wants only some lines."""
    try:
        for text in _texts(found, whole=whole, as_json=as_json):
            sys.stdout.write(UNSHOWN.sub(_escaped, text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Else the rest would be written, again in vain, at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _texts(found: Sequence[Letter], *, whole: bool, as_json: bool) -> Iterator[str]:
    for letter in found:
        if whole:
            text = orjson.dumps(letter.whole(), option=0 if as_json else PRETTY).decode()
        elif as_json:
            text = orjson.dumps(letter.summary()).decode()
        else:
            text = (
                f"{letter.name:<36} {letter.time:%Y-%m-%d %H:%M:%S}  {letter.state or 'open':<8} "
                f"tries {letter.attempts}  {letter.summary()['key']}  "
                f"{letter.reason[:SHOWN_REASON]!r}"
            ).replace("\n", "\\n")
        yield text


def _escaped(found: re.Match[str]) -> str:
    """As JSON escapes it, so that what is shown can be parsed again."""
    return f"\\u{ord(found[0]):04x}"


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")
