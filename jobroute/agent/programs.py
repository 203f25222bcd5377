# -*- test-case-name: tests.agent.test_programs -*-
"""
The service C{command}: programs, run for whoever may hand in jobs.

Nothing goes through a shell; everything that a program starts ends with it,
see L{jobroute.agent.keeper}.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, succeed

from jobroute.agent import kernel
from jobroute.agent.context import Context
from jobroute.agent.functions import Failed, Lost, Refuse
from jobroute.agent.program import Order, Program
from jobroute.agent.waits import after, waiting
from jobroute.interfaces import IClock
from jobroute.model import Frames

#: The service's name.
COMMAND = "command"

_order = msgspec.json.Decoder(Order)
_encode = msgspec.json.Encoder().encode


def read_order(header: bytes) -> Order:
    """
    What a job asks for.

    @raise Refuse: if its header is none of a program's.
    """
    try:
        order = _order.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise _wrong(f"{str(e)[:1].lower()}{str(e)[1:]}") from e
    if not order.args or not order.args[0]:
        raise _wrong("args names no program")
    for name, texts in (
        ("args", order.args),
        ("cwd", [order.cwd or ""]),
        ("environ", [*order.environ, *order.environ.values()]),
    ):
        if any("\0" in text for text in texts):
            raise _wrong(f"{name} has a null character")
    if any(not name or "=" in name for name in order.environ):
        raise _wrong("environ has a name that is none")
    return order


def _wrong(how: str) -> Refuse:
    # It would be to any agent.
    return Refuse(f"The header of a command is wrong: {how}.", retry=False)


@define(eq=False)
class Programs:
    """
    The programs that an agent runs.

    @ivar grace: how many seconds each has to end when it is told to.
    """

    _reactor: Any
    _clock: IClock
    grace: float
    _running: set[Program] = field(factory=set, init=False)
    _stopped: list[Deferred[None]] = field(factory=list, init=False)

    async def perform(self, payload: Any, context: Context) -> Frames:
        """
        Run a program; when this is cancelled, it is over when nothing is left
        of the program.

        @return: what it printed, what it complained, and the rest in JSON.
        """
        order = read_order(context.delivery.header)
        program = Program(self._reactor, self._clock, context, order, self.grace, self._over)
        try:
            program.spawn()
        except OSError as e:
            raise Lost(f"No process can be started: {e.strerror}.") from e
        self._running.add(program)
        try:
            await after(program.ended)
        except CancelledError:
            program.end()
            await after(program.ended)
            raise
        return outcome(order, program)

    def stop(self) -> Deferred[None]:
        """
        End all of them.

        @return: fires when nothing is left of them.
        """
        for program in list(self._running):
            program.end()
        return waiting(self._stopped) if self._running else succeed(None)

    def kill(self) -> None:
        """
        Kill all of them.
        """
        for program in list(self._running):
            program.kill()

    def _over(self, program: Program) -> None:
        self._running.discard(program)
        if not self._running:
            stopped, self._stopped = self._stopped, []
            for deferred in stopped:
                deferred.callback(None)


def outcome(order: Order, program: Program) -> Frames:
    """
    What a program that has ended gave.

    @raise Failed: if it did not end well.
    @raise Lost: if nobody knows how it ended.
    """
    if program.error:
        raise Failed(f"{order.args[0][:500]} cannot be started: {program.error}")
    output, lines = program.output, program.lines
    about = {
        "status": program.status,
        "signal": program.signal,
        "stdout": output.total("stdout"),
        "stderr": output.total("stderr"),
        "streamed": output.streamed,
        **lines.describe(),
    }
    frames = [output.last("stdout"), output.last("stderr"), _encode(about)]
    if lines.result is not None:
        frames.append(lines.result)
    if program.status == 0:
        return tuple(frames)
    if program.signal is not None:
        how = kernel.describe_exit(None, program.signal).removeprefix("was ")
    elif program.status is not None:
        how = f"exit status {program.status}"
    else:
        raise Lost("What kept the program has died.")
    line = output.last_line()
    raise Failed(f"{how}: {line}" if line else how, tuple(frames))
