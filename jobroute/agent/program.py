# -*- test-case-name: tests.agent.test_programs -*-
"""
A program, as its agent sees it, and its keeper's other end.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPullProducer
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.agent import keeper
from jobroute.agent.context import Context
from jobroute.agent.output import CHUNK, PENDING, Lines, Output
from jobroute.interfaces import IClock
from jobroute.log import Logger
from jobroute.model import Frames

_STREAMS = {1: "stdout", 2: "stderr"}

#: Seconds until the pipes of a program are closed that somebody else still has.
_PATIENCE = 1.0


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """
    The header of a job that is a program.
    """

    args: list[str]
    environ: dict[str, str] = {}
    cwd: str | None = None
    inputs: bool = False
    stream: bool = True


@implementer(IPullProducer)
@define(eq=False)
class Feeder:
    """
    Writes the payload to the standard input of a program, and then its inputs
    if they are wanted, as fast as it reads.
    """

    _pipe: Any
    _frames: deque[memoryview]
    _context: Context | None
    _waiting: Deferred[Frames] | None = field(default=None, init=False)

    def start(self) -> None:
        """
        Begin.
        """
        self._pipe.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """
        The program has read what there was.
        """
        while self._frames and not self._frames[0]:
            self._frames.popleft()
        if self._frames:
            frame = self._frames[0]
            self._frames[0] = frame[CHUNK:]
            self._pipe.write(bytes(frame[:CHUNK]))
        elif self._context is None:
            self._pipe.unregisterProducer()
            self._pipe.loseConnection()
        elif self._waiting is None:
            waiting = self._context.inputs.get()
            if not waiting.called:
                self._waiting = waiting
            waiting.addCallbacks(self._came, lambda _: None)

    def _came(self, frames: Frames) -> None:
        self._waiting = None
        self._frames.extend(memoryview(frame) for frame in frames)
        if not frames:
            # The end of its input.
            self._context = None
        self.resumeProducing()

    def stopProducing(self) -> None:
        """
        The program reads no more.
        """
        self._frames.clear()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


class Program(ProcessProtocol):
    """
    One program.

    @ivar output: what it prints.
    @ivar lines: what it says.
    @ivar ended: fires when nothing is left of it.
    @ivar error: why it could not be started.
    @ivar status: its exit status, if it has one.
    @ivar signal: the signal that ended it, if one did.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        clock: IClock,
        context: Context,
        order: Order,
        grace: float,
        on_gone: Callable[[Program], None],
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._context = context
        self._order = order
        self._grace = grace
        self._on_gone = on_gone
        self._told = b""
        self._began = clock.monotonic()
        self._sending = False
        self._timer: IDelayedCall | None = None
        self._patience: IDelayedCall | None = None
        self._feeder: Feeder | None = None
        self._paused = False
        self._listens = True
        self._over = False
        self.output = Output(order.stream)
        self.lines = Lines()
        self.ended: Deferred[None] = Deferred()
        self.error = ""
        self.status: int | None = None
        self.signal: int | None = None

    def spawn(self) -> None:
        """
        Start its keeper.

        @raise OSError: if the system does not let us.
        """
        descriptors: Mapping[int, str] = {
            0: "w",
            1: "r",
            2: "r",
            keeper.CONTROL: "w",
            keeper.STATUS: "r",
            keeper.SAYS: "r",
        }
        arguments = [sys.executable, "-I", "-S", keeper.__file__]
        self._reactor.spawnProcess(self, sys.executable, arguments, {}, childFDs=descriptors)

    def connectionMade(self) -> None:
        """
        The keeper runs: tell it what to run.
        """
        context = self._context
        order = {
            "args": self._order.args,
            "cwd": self._order.cwd,
            "grace": self._grace,
            "environ": {
                **os.environ,
                "JOBROUTE_JOB": context.job,
                "JOBROUTE_INDEX": str(context.index),
                "JOBROUTE_ATTEMPT": str(context.attempt),
                **self._order.environ,
                "JOBROUTE_FD": str(keeper.GIVEN),
            },
        }
        self._tell(json.dumps(order).encode("ascii") + b"\n")
        transport: Any = self.transport
        frames = deque(memoryview(frame) for frame in context.frames)
        self._feeder = Feeder(transport.pipes[0], frames, context if self._order.inputs else None)
        self._feeder.start()

    def end(self) -> None:
        """
        Let it end, and kill it when the grace is over.
        """
        self._tell(b"E")
        self._hush()

    def kill(self) -> None:
        """
        Kill it.
        """
        self._tell(b"K")
        self._hush()

    def _tell(self, data: bytes) -> None:
        if self._listens and self.transport is not None:
            self.transport.writeToChild(keeper.CONTROL, data)

    def _hush(self) -> None:
        """
        Nobody wants to hear of it any more.
        """
        self.output.stop()
        self._pause(False)

    # -- What it says

    def childDataReceived(self, descriptor: int, data: bytes) -> None:
        """
        It prints or says something, or its keeper tells what became of it.
        """
        if descriptor == keeper.STATUS:
            *lines, self._told = (self._told + data).split(b"\n")
            for line in lines:
                for name, value in json.loads(line).items():
                    self._became(name, value)
            return
        if descriptor == keeper.SAYS:
            progress, records = self.lines.feed(data)
            if progress is not None:
                self._progress(progress)
            data, name = b"".join(record + b"\n" for record in records), "records"
        else:
            name = _STREAMS[descriptor]
        self.output.put(name, data)
        if self.output.pending > PENDING:
            self._pause(True)
        self._plan()

    def _became(self, name: str, value: Any) -> None:
        match name:
            case "error":
                self.error = value
            case "exit":
                self.status = value
            case "signal":
                self.signal = value

    def _progress(self, value: bytes) -> None:
        try:
            self._context.progress(msgspec.Raw(value))
        except Exception as e:
            # Too large, or too deep.
            self.lines.wrong(str(e))

    def _pause(self, paused: bool) -> None:
        if self._paused == paused:
            return
        self._paused = paused
        transport: Any = self.transport
        for descriptor in (*_STREAMS, keeper.SAYS):
            reader = transport.pipes.get(descriptor)
            if reader is not None and paused:
                reader.pauseProducing()
            elif reader is not None:
                reader.resumeProducing()

    # -- Handing on

    def _plan(self) -> None:
        """
        Hand something on, as soon as enough was gathered.
        """
        pending = self.output.pending
        if self._sending or not pending:
            return
        if pending >= CHUNK:
            self._send()
        elif self._timer is None or not self._timer.active():
            pause = self.output.pause(self._clock.monotonic() - self._began)
            self._timer = self._reactor.callLater(pause, self._send)

    def _send(self) -> None:
        if self._sending:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        frames = self.output.chunk()
        if not frames:
            return
        self._sending = True
        self._context.partial(*frames).addCallbacks(self._sent, self._unsent)

    def _sent(self, ignored: None) -> None:
        self._sending = False
        if self.output.pending <= PENDING:
            self._pause(False)
        self._plan()
        self._settle()

    def _unsent(self, failure: Failure) -> None:
        self._sending = False
        self._hush()
        self._settle()

    # -- Its end

    def childConnectionLost(self, descriptor: int) -> None:
        """
        A pipe is closed.
        """
        if descriptor == keeper.CONTROL:
            self._listens = False
        elif descriptor == 0 and self._feeder is not None:
            self._feeder.stopProducing()

    def processExited(self, reason: Failure) -> None:
        """
        Nothing is left of it but what is in its pipes.
        """
        self._listens = False
        # Whoever still has one of them is none of its descendants.
        self._patience = self._reactor.callLater(_PATIENCE, self._close)

    def _close(self) -> None:
        if self._paused:
            # What is read too slowly is not held by others.
            self._patience = self._reactor.callLater(_PATIENCE, self._close)
        elif self.transport is not None:
            self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        """
        Nothing at all is left.
        """
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._over = True
        self._settle()

    def _settle(self) -> None:
        """
        It is over when all of it was handed on.
        """
        if self._over and self.output.pending:
            self._send()
        if not self._over or self._sending or self.ended.called:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._on_gone(self)
        self.ended.callback(None)
