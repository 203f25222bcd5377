# -*- test-case-name: tests.agent.test_processes -*-
"""
A child, as its agent sees it: from the start of its process to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from attrs import define
from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from jobroute.agent import kernel, pipe
from jobroute.agent.context import Context
from jobroute.agent.functions import Failed, Lost, Refuse
from jobroute.errors import JobrouteError
from jobroute.log import Logger
from jobroute.model import Frames

#: What a message of a child may have beside a result.
_ENVELOPE = 1024 * 1024

#: So many characters of what a child prints at a time are logged.
PRINTED = 4_000

_MODULE = "jobroute.agent.child"


@define(eq=False)
class _Task:
    """
    What a child works on.
    """

    context: Context
    done: Deferred[Frames]
    waiting: Deferred[Frames] | None = None


class Child(ProcessProtocol):
    """
    One child.

    @ivar started: whether its services could be imported.
    @ivar ready: whether that is so, and it is to live on.
    @ivar ending: whether it was told to end.
    @ivar parts: how many parts it was given.
    @ivar spent: whether it should be given no more.
    @ivar reason: why it could not start, or how it ended.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        setup: pipe.Setup,
        grace: float,
        on_ready: Callable[[Child], None],
        on_gone: Callable[[Child], None],
    ) -> None:
        """
        @param grace: how many seconds it has to end when it is told to.
        @param on_ready: called when it can work.
        @param on_gone: called when its process has ended.
        """
        self._reactor = reactor
        self._setup = setup
        self._grace = grace
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._reader = pipe.Reader.in_agent(setup.message + _ENVELOPE)
        self._task: _Task | None = None
        self._leader: int | None = None
        self._exit: Failure | None = None
        self._hears = True
        self._heard_all = False
        self._gone = False
        self._printed = b""
        self._timer: IDelayedCall | None = None
        self.ready = False
        self.started = False
        self.ending = False
        self.parts = 0
        self.spent = False
        self.reason = ""

    @property
    def pid(self) -> int | None:
        """
        Its process, while there is one.
        """
        return None if self._exit is not None else self._leader

    def spawn(self) -> None:
        """
        Start its process.

        @raise OSError: if the system does not let us.
        """
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, self._setup.path))}
        arguments = [sys.executable, "-m", _MODULE, str(os.getpid())]
        with open(os.devnull, "rb") as nothing:
            descriptors = {
                0: nothing.fileno(),
                1: "r",
                2: "r",
                pipe.TO_CHILD: "w",
                pipe.FROM_CHILD: "r",
            }
            self._reactor.spawnProcess(
                self, sys.executable, arguments, environ, childFDs=descriptors
            )

    def connectionMade(self) -> None:
        """
        It runs: tell it what to be.
        """
        assert self.transport is not None
        self._leader = self.transport.pid
        self._send(self._setup)

    # -- Work

    def work(self, context: Context) -> Deferred[Frames]:
        """
        Have it perform an attempt.

        @return: fires with what the function returned; fails with
            L{Refuse} or L{Failed}, and with L{Lost} if the child ended
            before.
        """
        delivery = context.delivery
        self.parts += 1
        task = self._task = _Task(context, Deferred())
        self._send(
            pipe.Work(
                delivery.part,
                delivery.attempt,
                delivery.job,
                delivery.index,
                delivery.service,
                delivery.header,
                delivery.run_limit,
                list(delivery.payload),
            )
        )
        return task.done

    def retire(self) -> None:
        """
        Let it end when it has nothing to do.
        """
        if not self.ending:
            self._send(pipe.Retire())
            self._begin_end()

    def end(self) -> None:
        """
        Let it end now: SIGTERM, which is an exception in the function, and
        SIGKILL when the grace is over.
        """
        if not self.ending:
            self._signal(signal.SIGTERM)
            self._begin_end()

    def kill(self) -> None:
        """
        End it at once.
        """
        self.ending, self.ready = True, False
        self._signal(signal.SIGKILL)

    def _begin_end(self) -> None:
        self.ending, self.ready = True, False
        if self._exit is None:
            self._timer = self._reactor.callLater(self._grace, self.kill)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            kernel.signal_group(self.pid, number)

    def _send(self, message: pipe.ToChild) -> None:
        if self._hears and self.transport is not None:
            self.transport.writeToChild(pipe.TO_CHILD, pipe.encode(message))

    # -- From the process

    def childDataReceived(self, descriptor: int, data: bytes) -> None:
        """
        It says something, or prints it.
        """
        if descriptor != pipe.FROM_CHILD:
            self._print(data)
            return
        try:
            for message in self._reader.feed(data):
                self._received(message)
        except Exception:
            # A function has written into it, or closed it and opened something else.
            self._log.failure("Process {pid} said what no child says, and is ended.", pid=self.pid)
            self.kill()

    def childConnectionLost(self, descriptor: int) -> None:
        """
        It closed one of its descriptors; perhaps since it has ended.
        """
        if descriptor == pipe.TO_CHILD:
            self._hears = False
        elif descriptor == pipe.FROM_CHILD:
            self._heard_all = True
            self._over()

    def processExited(self, reason: Failure) -> None:
        """
        It has ended; what it said may still be in the pipe.
        """
        self._exit = reason
        self.ready = self._hears = False
        assert self._leader is not None
        kernel.sweep_group(self._leader)
        self._over()

    def processEnded(self, reason: Failure) -> None:
        """
        It has ended, and there is nothing more in its pipes.
        """
        self._heard_all = True
        self._over()

    def _over(self) -> None:
        if self._exit is None or not self._heard_all or self._gone:
            return
        self._gone = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        assert self.transport is not None
        # Something that it started may still have them.
        self.transport.loseConnection()
        error: Any = self._exit.value
        status, number = 0, None
        if isinstance(error, ProcessTerminated):
            status, number = error.exitCode, error.signal
        said = self._printed.decode("utf-8", "replace").strip().rpartition("\n")[2]
        how = kernel.describe_exit(status, number)
        self.reason = self.reason or (f"it {how}: {said}" if said else f"it {how}")
        task, self._task = self._task, None
        if task is not None:
            self._finish(task, Failure(Lost(f"The process in which it ran {how}.")))
        self._on_gone(self)

    # -- From the child

    def _received(self, message: pipe.FromChild) -> None:
        task = self._task
        match message:
            case pipe.Ready():
                self.started = True
                if not self.ending:
                    self.ready = True
                    self._on_ready(self)
            case pipe.Cannot():
                self.reason = message.reason
            case _ if task is None:
                # A thread that a function has left behind.
                pass
            case pipe.Progress():
                self._progress(task, message)
            case pipe.Partial():
                self._partial(task, message)
            case pipe.Want():
                self._want(task)
            case pipe.Log():
                level = LogLevel.lookupByName(message.level)
                task.context.log.emit(level, "{text}", text=message.text)
            case pipe.Done():
                self._done(task, message)

    def _progress(self, task: _Task, message: pipe.Progress) -> None:
        try:
            task.context.progress(Raw(message.value))
        finally:
            self._send(pipe.Took(0))

    def _partial(self, task: _Task, message: pipe.Partial) -> None:
        def took(result: Failure | None) -> None:
            code, text = "", ""
            if isinstance(result, Failure):
                code, text = "cancelled", result.getErrorMessage()
                if isinstance(result.value, JobrouteError):
                    code = result.value.code
            if self._task is task:
                self._send(pipe.Took(message.number, code, text))

        task.context.partial(*message.payload).addBoth(took)

    def _want(self, task: _Task) -> None:
        if task.waiting is not None:
            return

        def came(frames: Frames) -> None:
            task.waiting = None
            self._send(pipe.Input(list(frames)))

        # It may be there already.
        waiting = task.context.inputs.get()
        if not waiting.called:
            task.waiting = waiting
        waiting.addCallbacks(came, lambda _: None)

    def _done(self, task: _Task, message: pipe.Done) -> None:
        self._task = None
        self.spent = message.spent
        if message.trace:
            task.context.log.error("{trace}", trace=message.trace)
        match message.kind:
            case "result":
                self._finish(task, tuple(message.payload))
            case kind:
                raised = Refuse if kind == "refused" else Failed
                error = raised(
                    message.reason,
                    tuple(message.payload),
                    retry=message.retry,
                    retry_after=message.retry_after,
                )
                self._finish(task, Failure(error))

    def _finish(self, task: _Task, result: Frames | Failure) -> None:
        if task.waiting is not None:
            task.waiting.cancel()
        if isinstance(result, Failure):
            task.done.errback(result)
        else:
            task.done.callback(result)

    def _print(self, data: bytes) -> None:
        self._printed = (self._printed + data)[-PRINTED:]
        text = data[:PRINTED].decode("utf-8", "replace").rstrip("\n")
        if len(data) > PRINTED:
            text += f" … and {len(data) - PRINTED} bytes more"
        if self._task is not None:
            self._task.context.log.info("{text}", text=text)
        elif text:
            self._log.info("Process {pid} says: {text}", pid=self.pid, text=text)
