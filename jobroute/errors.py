# -*- test-case-name: tests.test_errors -*-
"""
The exceptions of jobroute.

Each has a stable C{code}, which goes over the wire, and a text of one clear
sentence that says what is wrong and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class JobrouteError(Exception):
    """
    Base of everything that jobroute raises on purpose.
    """

    code: ClassVar[str] = "error"


# -- The sockets -------------------------------------------------------------


class TransportError(JobrouteError):
    """
    A message could not be sent.
    """

    code = "transport"


class Congested(TransportError):
    """
    The peer's queue is full.  Nothing was sent.
    """

    code = "congested"


class NoSuchPeer(TransportError):
    """
    A ROUTER has no peer of that identity.  Nothing was sent.
    """

    code = "no-such-peer"


class NotConnected(TransportError):
    """
    The socket is closed.
    """

    code = "not-connected"


class CannotListen(TransportError):
    """
    An endpoint could not be bound.
    """

    code = "cannot-listen"


class BadEndpoint(TransportError, ValueError):
    """
    An endpoint is not one that jobroute can use.
    """

    code = "bad-endpoint"


# -- Starting ----------------------------------------------------------------


class ConfigurationError(JobrouteError, ValueError):
    """
    A setting is wrong; the text names it.
    """

    code = "bad-setting"


class BrokerAlreadyRunning(JobrouteError):
    """
    Another broker has the data directory.

    @ivar pid: its process.
    """

    code = "already-running"

    def __init__(self, text: str, pid: int) -> None:
        super().__init__(text)
        self.pid = pid


class StorageError(JobrouteError):
    """
    The storage cannot do its work.
    """

    code = "storage"


class StorageDamaged(StorageError):
    """
    The stored data cannot be read.
    """

    code = "storage-damaged"


class StorageLost(StorageError):
    """
    What was written may not be on disk and cannot be made so (a failed
    fsync): the broker has to end.
    """

    code = "storage-lost"


# -- Messages and commands ---------------------------------------------------


class BadMessage(JobrouteError):
    """
    Frames that are no message of ours.
    """

    code = "bad-message"


class BadVersion(BadMessage):
    """
    The peer speaks a version of the protocol that we don't.
    """

    code = "bad-version"


class TooLarge(BadMessage):
    """
    A message, header or list is over its limit.
    """

    code = "too-large"


class CommandError(JobrouteError):
    """
    A command was refused.
    """

    code = "refused"


class UnknownCommand(CommandError):
    """
    There is no command of that name.
    """

    code = "unknown-command"


class BadProperty(CommandError):
    """
    A property of a command is missing or wrong; the text names it.
    """

    code = "bad-property"


class NoSuchJob(CommandError):
    """
    No job has that id, or it is past its retention.
    """

    code = "no-such-job"


class NoSuchAgent(CommandError):
    """
    No agent has that name.
    """

    code = "no-such-agent"


class NotEnoughAgents(CommandError):
    """
    Fewer agents than asked for offer the service.
    """

    code = "not-enough-agents"


class JobConflict(CommandError):
    """
    A job of that id exists and is another one.
    """

    code = "job-conflict"


class JobNotDone(CommandError):
    """
    The result of a part was asked for before there was one, or a job was to
    be submitted again before it had ended.
    """

    code = "not-done"


class Quarantined(CommandError):
    """
    A job that has cost too many agents their lives is not submitted again
    unless somebody insists.
    """

    code = "quarantined"


class NothingToRetry(CommandError):
    """
    A job was to be submitted again of which nothing is left to do.
    """

    code = "nothing-to-retry"


class NotRunning(CommandError):
    """
    An input was sent to a part that no agent works on.
    """

    code = "not-running"


class UnknownOutcome(CommandError):
    """
    A call was in flight when the broker ended; nobody can know its outcome,
    and nothing runs it again.
    """

    code = "unknown-outcome"


class WaitTimeout(CommandError):
    """
    The time that a client was ready to wait is over; the job goes on.
    """

    code = "wait-timeout"


class Busy(CommandError):
    """
    A limit is reached; try again later.

    @ivar retry_after: in how many seconds, as far as is known.
    """

    code = "busy"

    def __init__(self, text: str = "", retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class StorageUnavailable(Busy):
    """
    Nothing new is accepted while the storage cannot write.
    """

    code = "storage-unavailable"


class Stopping(Busy):
    """
    The broker is stopping and takes nothing new.
    """

    code = "stopping"


class InternalError(CommandError):
    """
    The broker has a bug; the text names the entry in its log.
    """

    code = "internal-error"


# -- Clients and agents ------------------------------------------------------


class BrokerLost(JobrouteError):
    """
    The broker does not answer.
    """

    code = "broker-lost"


class JobFailed(JobrouteError):
    """
    A job ended with another verdict than C{succeeded}.

    @ivar verdict: which.
    @ivar job: the job's id.
    """

    code = "job-failed"

    def __init__(self, text: str, verdict: str, job: str) -> None:
        super().__init__(text)
        self.verdict = verdict
        self.job = job


class Refused(JobrouteError):
    """
    The broker refused a command; C{code} is the broker's.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code  # type: ignore[misc]


class RegistrationRefused(JobrouteError):
    """
    The broker does not take this agent.
    """

    code = "registration-refused"


class Cancelled(JobrouteError):
    """
    Raised inside an agent's function when its part is cancelled.
    """

    code = "cancelled"
