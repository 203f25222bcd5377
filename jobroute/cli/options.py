# -*- test-case-name: tests.cli.test_options -*-
"""
What can be said on the command line of the C{jobroute} command.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar

import click

from jobroute.cli import completion
from jobroute.client import checks
from jobroute.client.specs import TargetLike
from jobroute.errors import JobrouteError
from jobroute.zeromq.addresses import parse_remote

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d)?")
_SIZE = re.compile(r"(\d{1,15})\s*(?:([kmgt])(?:i?b)?|b)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(ctx: click.Context, param: click.Parameter, value: Any) -> float | None:
    """
    C{30}, C{30s}, C{5m}, C{2h}: seconds.

    @raise click.BadParameter: if it is no duration.
    """
    if value is None or isinstance(value, int | float):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration; write 30, 30s, 5m or 2h.")
    seconds = float(found[1]) * _SECONDS[found[2] or "s"]
    return _checked(lambda: checks.duration("it", seconds))


def size(ctx: click.Context, param: click.Parameter, value: Any) -> int | None:
    """
    C{512MiB}, C{2GiB}, C{1000000}: bytes.

    @raise click.BadParameter: if it is no size.
    """
    if value is None or isinstance(value, int):
        return value
    found = _SIZE.fullmatch(value.strip().lower())
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{value!r} is no size; write 512MiB, 2GiB or a number of bytes.")
    exponent = " kmgt".index(found[2] or " ")
    return int(found[1]) << 10 * exponent


def name(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """
    A name, or several.

    @raise click.BadParameter: if one of them cannot be a name.
    """
    for each in value if isinstance(value, tuple) else (value,):
        if each is not None:
            _checked(lambda each=each: checks.name("a name", each))  # type: ignore[misc]
    return value


def header(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """
    Any JSON value.

    @raise click.BadParameter: if it is none.
    """
    if value is None:
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError) as e:
        raise click.BadParameter(f"{value!r} is no JSON; a text needs quotes of its own.") from e
    return _checked(lambda: checks.header(found))


def url(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """
    Where a broker's frontend is.

    @raise click.BadParameter: if nothing can be there.
    """
    if value is not None:
        _checked(lambda: parse_remote(value))
    return value


def _checked(check: Callable[[], T]) -> T:
    try:
        return check()
    except JobrouteError as e:
        raise click.BadParameter(str(e)) from e


def together(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """
    Several options as one decorator, in the order in which help shows them.
    """

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


namespace_option = click.option(
    "--namespace",
    callback=name,
    default="default",
    envvar="JOBROUTE_NAMESPACE",
    metavar="NAME",
    help="Where the job's id is unique; 'default' if not given.",
)

timeout_option = click.option(
    "--timeout",
    callback=duration,
    metavar="TIME",
    help="How long to wait; as long as the job may take if not given.",
)

#: Who does a job, and all that a job can be told beside its payload.
job_options = together(
    click.option("--all", "everyone", is_flag=True, help="All agents that offer it do it."),
    click.option(
        "--agent",
        "agents",
        multiple=True,
        callback=name,
        shell_complete=completion.agents,
        metavar="NAME",
        help=("This agent does it; several: each of them, or with --count so many of them."),
    ),
    click.option("--count", type=click.IntRange(1), metavar="N", help="So many agents do it."),
    click.option("--header", callback=header, metavar="JSON", help="Given to the agent as it is."),
    click.option(
        "--priority",
        type=click.IntRange(-1000, 1000),
        default=0,
        metavar="N",
        help="-1000 to 1000; higher ones go first.",
    ),
    click.option(
        "--attempts",
        type=click.IntRange(1),
        default=1,
        metavar="N",
        help="How often at most it is given to an agent; once if not given.",
    ),
    click.option(
        "--retry-on",
        multiple=True,
        type=click.Choice(["lost", "failed", "timed_out", "refused"]),
        help="What is worth another attempt, if there are several; lost if not given.",
    ),
    click.option(
        "--retry-delay",
        callback=duration,
        metavar="TIME",
        help="How long before the second attempt, later twice as long each; 1s if not given.",
    ),
    click.option(
        "--max-lost",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Quarantined when it has cost so many agents their lives; 3 if not given.",
    ),
    click.option("--queue-limit", callback=duration, metavar="TIME", help="How long it may queue."),
    click.option(
        "--run-limit", callback=duration, metavar="TIME", help="How long one attempt may take."
    ),
    click.option(
        "--deadline", callback=duration, metavar="TIME", help="When all must be over; a day."
    ),
    click.option(
        "--client", callback=name, metavar="NAME", help="The broker is fair between clients' names."
    ),
    namespace_option,
)

payload_options = together(
    click.argument("payload", nargs=-1),
    click.option(
        "--file",
        "files",
        multiple=True,
        type=click.File("rb"),
        metavar="PATH",
        help="The payload is in this file; several are several frames.",
    ),
)


def target(everyone: bool, agents: Sequence[str], count: int | None) -> TargetLike:
    """
    Who does a job.

    @raise click.UsageError: if two of them contradict each other.
    """
    if everyone and (agents or count is not None):
        raise click.UsageError("--all is everybody; leave out --agent and --count.")
    for name in agents:
        if agents.count(name) > 1:
            raise click.UsageError(f"--agent {name} is given twice.")
    if count is not None and agents and count > len(agents):
        raise click.UsageError(f"--count {count} is more than there are --agent.")
    if everyone:
        return "all"
    if not agents:
        return "any" if count is None else {"count": count}
    return {"agents": list(agents)} if count is None else {"agents": list(agents), "count": count}


def retries(on: Sequence[str], delay: float | None) -> dict[str, Any] | None:
    """
    What is worth another attempt, and when.
    """
    given: dict[str, Any] = {"on": sorted(set(on))} if on else {}
    if delay is not None:
        given["delay"] = delay
    return given or None


def frames(payload: Sequence[str], files: Sequence[BinaryIO]) -> tuple[bytes, ...]:
    """
    The payload: a frame for each argument, C{-} being what comes in, then
    one for each file.

    @raise click.UsageError: if C{-} stands there twice.
    """
    if payload.count("-") > 1:
        raise click.UsageError("The input can be read once only: there is more than one '-'.")
    given = [sys.stdin.buffer.read() if text == "-" else as_frame(text) for text in payload]
    return (*given, *(file.read() for file in files))


def as_frame(text: str) -> bytes:
    """
    An argument as the bytes that were typed.
    """
    return text.encode("utf-8", "surrogateescape")
