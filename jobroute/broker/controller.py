# -*- test-case-name: tests.broker.test_controller -*-
"""
Commands: decoded, authorised, validated, executed, and answered once.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.broker.commands.base import LATER, Registry
from jobroute.broker.pace import Paces
from jobroute.errors import InternalError, JobrouteError
from jobroute.interfaces import AnswerKind, Caller, IController, IReplyTo
from jobroute.log import Logger
from jobroute.model import Frames


@implementer(IController)
@define(eq=False, repr=False)
class Controller:
    """
    The one dispatcher of commands, whatever door they came through.
    """

    _log = Logger()

    _registry: Registry
    _counters: dict[str, int]
    _paces: Paces
    _bugs: int = field(default=0, init=False)

    def execute(
        self,
        name: str,
        properties: bytes | dict[str, Any],
        payload: Frames,
        caller: Caller,
        reply_to: IReplyTo,
    ) -> None:
        """
        See L{IController.execute}.
        """
        self._counters["requests"] += 1
        try:
            command, checked = self._registry.prepare(name, properties, caller)
            result = command.execute(checked, payload, caller, reply_to)
        except JobrouteError as e:
            self._paces.mark(e)
            reply_to.answer(AnswerKind.ERROR, e)
        except Exception:
            bug = self._bug(Failure(), name)
            reply_to.answer(AnswerKind.ERROR, bug)
        else:
            if result is LATER:
                return
            if isinstance(result, Deferred):
                result.addCallbacks(
                    self._answer, self._failed, (reply_to,), {}, (name, reply_to), {}
                )
            else:
                reply_to.answer(AnswerKind.RESULT, result)

    def _answer(self, result: Any, reply_to: IReplyTo) -> None:
        if result is not LATER:
            reply_to.answer(AnswerKind.RESULT, result)

    def _failed(self, failure: Failure, name: str, reply_to: IReplyTo) -> None:
        error = failure.value
        if not isinstance(error, JobrouteError):
            error = self._bug(failure, name)
        self._paces.mark(error)
        reply_to.answer(AnswerKind.ERROR, error)

    def _bug(self, failure: Failure, name: str) -> InternalError:
        self._bugs += 1
        self._log.failure("Bug {bug} in {command}", failure, bug=self._bugs, command=name)
        return InternalError(f"The broker has a bug; its log has it as bug {self._bugs}.")
