# -*- test-case-name: tests.agent.test_child -*-
"""
A process in which an agent has functions run: C{python -m
jobroute.agent.child}.

Functions run in its main thread, one at a time, so that a signal can
interrupt them; another thread reads what the agent says.  When the agent is
gone, so is the child.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from attrs import define, field
from twisted.logger import globalLogBeginner, textFileLogObserver

from jobroute.agent import kernel, pipe
from jobroute.agent.childcontext import ChildContext
from jobroute.agent.context import check_size
from jobroute.agent.functions import (
    Failed,
    Function,
    Refuse,
    clip,
    describe,
    encode_frames,
    reason,
)
from jobroute.config import Limits
from jobroute.errors import Cancelled
from jobroute.log import set_level

#: How a child ends that was told to by a signal.
TERMINATED = 128 + signal.SIGTERM

#: So many characters of a traceback are told.
_TRACE = 20_000


@define(eq=False)
class Child:
    """
    One child, from within.

    @ivar working: the context of the attempt that it works on.
    """

    _reading: int
    _writing: int
    working: ChildContext | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _work: SimpleQueue[pipe.Setup | pipe.Work | pipe.Retire] = field(
        factory=SimpleQueue, init=False
    )

    def run(self) -> int:
        """
        Do what comes, until there will be nothing more.

        @return: the exit status.
        """
        signal.signal(signal.SIGTERM, self._terminated)
        # Ctrl-C is for the agent, which tells its children itself.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Thread(target=self._read, name="jobroute-pipe", daemon=True).start()
        setup = self._work.get()
        if not isinstance(setup, pipe.Setup):
            return 1
        try:
            functions = prepare(setup)
        except BaseException as e:
            self.send(pipe.Cannot(reason(e)))
            return 1
        limits = Limits(
            message=setup.message, header=setup.header, frames=setup.frames, depth=setup.depth
        )
        self.send(pipe.Ready())
        while isinstance(work := self._work.get(), pipe.Work):
            done = self._perform(functions[work.service], work, limits, setup.memory)
            _flush()
            if self._stopping:
                return TERMINATED
            self.send(done)
        return 0

    def send(self, message: pipe.FromChild) -> None:
        """
        Tell the agent something; may be called in any thread.
        """
        data = memoryview(pipe.encode(message))
        with self._lock:
            while data:
                data = data[os.write(self._writing, data) :]

    # -- In the main thread

    def _perform(
        self, function: Function, work: pipe.Work, limits: Limits, memory: int | None
    ) -> pipe.Done:
        context = ChildContext.of(work, limits, self.send)
        self.working = context
        try:
            payload = encode_frames(function.perform(context.frames, context))
            check_size(payload, limits)
            done = pipe.Done("result", list(payload))
        except BaseException as e:
            done = _failed(e)
        finally:
            self.working = None
            context.cancel()
        done.spent = done.spent or (memory is not None and kernel.data_size() > memory // 2)
        return done

    def _terminated(self, number: int, frame: object) -> None:
        """
        The signal to end: an exception in whatever is running, once.
        """
        if self._stopping:
            return
        self._stopping = True
        if self.working is None:
            raise SystemExit(TERMINATED)
        self.working.cancel()
        raise Cancelled("The part was cancelled.")

    # -- In the thread that reads

    def _read(self) -> None:
        reader = pipe.Reader.in_child()
        while data := os.read(self._reading, 1024 * 1024):
            for message in reader.feed(data):
                context = self.working
                if isinstance(message, pipe.Setup | pipe.Work | pipe.Retire):
                    self._work.put(message)
                elif context is not None:
                    context.received(message)
        # The agent is gone, and nobody wants what is being done.
        os._exit(1)


def _failed(error: BaseException) -> pipe.Done:
    if isinstance(error, Failed):
        kind = "refused" if isinstance(error, Refuse) else "failure"
        said = clip(str(error) or type(error).__name__)
        advice = error.advice
        return pipe.Done(
            kind, list(error.payload), said, retry=advice.retry, retry_after=advice.after
        )
    trace = "".join(traceback.format_exception(error))[-_TRACE:]
    spent = isinstance(error, MemoryError)
    return pipe.Done("failure", [], reason(error), trace, spent)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def prepare(setup: pipe.Setup) -> dict[str, Function]:
    """
    Become what the agent wants its children to be.

    @return: the functions of its services.
    @raise ConfigurationError: if one of them cannot be imported.
    """
    _restore(setup.environ)
    sys.path[:] = setup.path
    set_level(setup.level)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    if setup.memory is not None:
        kernel.limit_memory(setup.memory)
    return {name: describe(name, dotted) for name, dotted in setup.services.items()}


def _restore(environ: Mapping[str, str | None]) -> None:
    for name, value in environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def main(arguments: list[str]) -> int:
    """
    Be a child.

    @param arguments: the process id of the agent.
    @return: the exit status.
    """
    kernel.die_with(int(arguments[0]))
    # Whatever a function starts is in its group, and can be ended with it.
    os.setsid()
    for descriptor in (pipe.TO_CHILD, pipe.FROM_CHILD):
        os.set_inheritable(descriptor, False)
    faulthandler.enable()
    stdout: Any = sys.stdout
    stdout.reconfigure(line_buffering=True)
    return Child(pipe.TO_CHILD, pipe.FROM_CHILD).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
