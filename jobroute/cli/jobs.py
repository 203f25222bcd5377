# -*- test-case-name: tests.cli.test_jobs -*-
"""
The commands that are about jobs to be done: C{call}, C{submit}, C{map},
C{wait}, C{result}, C{cancel} and C{input}.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import attrs
import click

from jobroute.cli import completion, options
from jobroute.cli.outcomes import Stream, outcome_value, part_value, show_outcome, show_part
from jobroute.cli.screen import escaped
from jobroute.cli.session import Session, pass_session
from jobroute.client import Outcome
from jobroute.errors import JobFailed

_SERVICE = click.argument(
    "service", metavar="SERVICE", callback=options.name, shell_complete=completion.services
)
_JOB = click.argument("job", metavar="JOB", callback=options.name, shell_complete=completion.jobs)
_INDEX = click.option(
    "--index", type=click.IntRange(0), default=0, metavar="N", help="Which part; 0 if not given."
)
_RAW = click.option("--raw", is_flag=True, help="Print results as they are, not a byte more.")
_STREAM = click.option(
    "--stream", is_flag=True, help="Print partial results (with --json, progress too) as they come."
)


def _job(given: dict[str, Any]) -> dict[str, Any]:
    """
    The arguments of a client's method that describe a job; taken out of those
    of the command line.
    """
    everyone, agents, count = given.pop("everyone"), given.pop("agents"), given.pop("count")
    names = ("header", "priority", "attempts", "queue_limit", "run_limit", "deadline", "max_lost")
    job = {name: given.pop(name) for name in names}
    job["retries"] = options.retries(given.pop("retry_on"), given.pop("retry_delay"))
    return {"target": options.target(everyone, agents, count), **job}


@click.command()
@_SERVICE
@options.payload_options
@options.job_options
@options.timeout_option
@_STREAM
@_RAW
@pass_session
def call(
    session: Session,
    /,
    service: str,
    payload: tuple[str, ...],
    files: tuple[BinaryIO, ...],
    client: str | None,
    namespace: str,
    timeout: float | None,
    stream: bool,
    raw: bool,
    **given: Any,
) -> None:
    """
    Have a job done, and print its result.

    Each PAYLOAD is a frame of the payload; - is what comes in.  Nothing is stored: for what is
    quick, and can be asked again.
    """
    job, frames = _job(given), options.frames(payload, files)
    with session.client(namespace, client) as asking, session.screen.waiting(service) as bar:
        said = Stream(session.screen, bar, raw)
        outcome = asking.call(service, *frames, timeout=timeout, **job, **said.callbacks(stream))
    show_outcome(session.screen, outcome, raw, said.partials)
    outcome.check()


@click.command()
@_SERVICE
@options.payload_options
@options.job_options
@click.option(
    "--job", callback=options.name, metavar="NAME", help="The job's id; random if not given."
)
@pass_session
def submit(
    session: Session,
    /,
    service: str,
    payload: tuple[str, ...],
    files: tuple[BinaryIO, ...],
    client: str | None,
    namespace: str,
    job: str | None,
    **given: Any,
) -> None:
    """
    Hand in a job, and print its id when it is on disk.

    Each PAYLOAD is a frame of the payload; - is what comes in.  With --job it may be handed in
    again whenever in doubt: it is one job.
    """
    arguments, frames = _job(given), options.frames(payload, files)
    with session.client(namespace, client) as asking:
        done = asking.submit(service, *frames, job=job, **arguments)
    if session.screen.json:
        session.screen.value(attrs.asdict(done))
    else:
        session.screen.line(done.job)


def _lines(given: tuple[str, ...]) -> Iterable[bytes]:
    """
    The payloads of C{map}: the arguments, or the lines that come in.
    """
    if given and given != ("-",):
        return [options.as_frame(text) for text in given]
    return _incoming(sys.stdin.buffer)


def _incoming(stream: BinaryIO) -> Iterator[bytes]:
    for line in stream:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


@click.command("map")
@_SERVICE
@click.argument("payload", nargs=-1)
@options.job_options
@options.timeout_option
@click.option(
    "--window",
    type=click.IntRange(1, 10_000),
    default=100,
    metavar="N",
    help="So many jobs at a time; 100 if not given.",
)
@click.option("--as-completed", is_flag=True, help="Print results as they come, not in order.")
@click.option("-n", "--number", is_flag=True, help="Print each payload's number, from 1, first.")
@click.option("--durable", is_flag=True, help="Submit and wait, so that the jobs are on disk.")
@pass_session
def map_lines(
    session: Session,
    /,
    service: str,
    payload: tuple[str, ...],
    client: str | None,
    namespace: str,
    timeout: float | None,
    window: int,
    as_completed: bool,
    number: bool,
    durable: bool,
    **given: Any,
) -> None:
    """
    Have a job done for each line that comes in, or for each PAYLOAD.

    Prints one line for each: the result, in which a line's end is \\n and what is no text \\xNN,
    frames separated by tabs; nothing if the job did not succeed.
    """
    screen = session.screen
    job, payloads = _job(given), _lines(payload)
    done = wrong = 0
    with (
        session.client(namespace, client) as asking,
        screen.progress(service, len(payload) or None) as bar,
    ):
        outcomes = asking.map(
            service,
            payloads,
            window=window,
            ordered=not as_completed,
            progress=bar,
            durable=durable,
            timeout=timeout,
            **job,
        )
        for outcome in outcomes:
            done += 1
            wrong += not outcome.succeeded
            position = 1 + (outcome.position or 0)
            if screen.json:
                screen.value({"position": position, **outcome_value(outcome)})
                continue
            if not outcome.succeeded:
                screen.say(f"{position}: {_failure(outcome)}")
            screen.line((f"{position}\t" if number else "") + _one_line(outcome))
    if wrong:
        screen.say(f"{wrong} of {done} jobs did not succeed.")
        click.get_current_context().exit(1)


def _one_line(outcome: Outcome) -> str:
    frames = [frame for part in outcome.parts if part.succeeded for frame in part.frames]
    return "\t".join(map(escaped, frames))


def _failure(outcome: Outcome) -> str:
    try:
        outcome.check()
    except JobFailed as e:
        return str(e)
    return ""


@click.command()
@click.argument(
    "jobs",
    metavar="JOB...",
    nargs=-1,
    required=True,
    callback=options.name,
    shell_complete=completion.jobs,
)
@options.namespace_option
@options.timeout_option
@_STREAM
@_RAW
@pass_session
def wait(
    session: Session,
    /,
    jobs: tuple[str, ...],
    namespace: str,
    timeout: float | None,
    stream: bool,
    raw: bool,
) -> None:
    """
    Wait until jobs are done, and print their results.

    When it is interrupted the jobs go on.
    """
    failures: list[JobFailed] = []
    with session.client(namespace) as asking:
        for job in jobs:
            with session.screen.waiting(job) as bar:
                said = Stream(session.screen, bar, raw)
                outcome = asking.wait(job, timeout=timeout, **said.callbacks(stream))
            show_outcome(session.screen, outcome, raw, said.partials)
            try:
                outcome.check()
            except JobFailed as e:
                failures.append(e)
    for failure in failures[:-1]:
        session.screen.say(str(failure))
    if failures:
        raise failures[-1]


@click.command()
@_JOB
@_INDEX
@options.namespace_option
@_RAW
@pass_session
def result(session: Session, /, job: str, index: int, namespace: str, raw: bool) -> None:
    """
    Print the result of a part that is done.
    """
    with session.client(namespace) as asking:
        part = asking.result(job, index)
    if session.screen.json:
        session.screen.value({"job": job, **part_value(part)})
    else:
        show_part(session.screen, part, raw)
    if not part.succeeded:
        on = f" on agent {part.agent}" if part.agent else ""
        why = f": {part.reason}" if part.reason else "."
        raise JobFailed(
            f"Part {index} of job {job} ended as {part.verdict.value}{on}{why}",
            part.verdict.value,
            job,
        )


@click.command()
@_JOB
@click.option("--index", type=click.IntRange(0), metavar="N", help="Only this part.")
@options.namespace_option
@pass_session
def cancel(session: Session, /, job: str, index: int | None, namespace: str) -> None:
    """
    Cancel a job, or one part of it.
    """
    with session.client(namespace) as asking:
        count = asking.cancel(job, index)
    if session.screen.json:
        session.screen.value({"job": job, "cancelling": count})
    elif count:
        session.screen.line(
            f"{count} part{'s' if count > 1 else ''} of job {job} will be cancelled."
        )
    else:
        session.screen.line(f"Job {job} was done already.")


@click.command("input")
@_JOB
@options.payload_options
@_INDEX
@options.namespace_option
@pass_session
def send_input(
    session: Session,
    /,
    job: str,
    payload: tuple[str, ...],
    files: tuple[BinaryIO, ...],
    index: int,
    namespace: str,
) -> None:
    """
    Send something to a part that an agent works on.

    Each PAYLOAD is a frame; - is what comes in.
    """
    frames = options.frames(payload, files)
    with session.client(namespace) as asking:
        asking.input(job, *frames, index=index)
    if session.screen.json:
        session.screen.value({"job": job})
