# -*- test-case-name: tests.test_interfaces -*-
"""
Every seam of jobroute.

The exceptions that the methods promise are in L{jobroute.errors}; the values
that they take and give are in L{jobroute.model}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from jobroute import model
from jobroute.errors import StorageError

# ---------------------------------------------------------------------------
# Time


class IClock(Interface):
    """
    The two clocks of a process.
    """

    def monotonic() -> float:
        """
        Seconds since some moment; never steps.  For leases and timers.
        """

    def wall() -> float:
        """
        Seconds since 1970; may step.  For deadlines and history.
        """


# ---------------------------------------------------------------------------
# The seam to ZeroMQ, shaped like Twisted's own


class SocketKind(Enum):
    """
    The kinds of sockets that jobroute uses.
    """

    ROUTER = "ROUTER"
    DEALER = "DEALER"
    PUSH = "PUSH"
    PULL = "PULL"
    PUB = "PUB"
    SUB = "SUB"


@frozen
class SocketOptions:
    """
    What is set on a socket before it has an endpoint.

    @ivar identity: of a DEALER; random if empty.
    @ivar high_water: how many messages a peer's queue holds, each way.
    @ivar linger: how long closing waits for what was sent, in seconds.
    @ivar immediate: send only to peers whose connection is complete.
    @ivar handover: a ROUTER gives a known identity to a newcomer.
    @ivar heartbeat: interval of ZMTP heartbeats in seconds, 0 for none.
    @ivar max_message: larger ones cut the connection; -1 is no limit.
    @ivar subscriptions: the prefixes that a SUB wants.
    @ivar budget: how many messages, and for how many seconds, are read in
        one turn of the reactor.
    """

    identity: bytes = b""
    high_water: int = 1000
    linger: float = 0.1
    immediate: bool = False
    handover: bool = False
    heartbeat: float = 0.0
    max_message: int = -1
    subscriptions: tuple[bytes, ...] = ()
    budget: tuple[int, float] = (64, 0.005)


class IMessageTransport(Interface):
    """
    The socket under a protocol.
    """

    def send(frames: Sequence[bytes]) -> None:
        """
        Send one message now, without waiting.  All of it is sent, or nothing.

        @raise Congested: if the peer's queue is full.
        @raise NoSuchPeer: if a ROUTER has no peer of the identity that is
            the first frame.
        @raise NotConnected: if the socket is closed.
        @raise TypeError: if a frame is not bytes.
        """

    def loseConnection() -> None:
        """
        Close the socket.  The protocol hears C{connectionLost}, once.
        """


class IMessageProtocol(Interface):
    """
    What is said on one socket.
    """

    def makeConnection(transport: IMessageTransport) -> None:
        """
        The socket is there; messages may be sent.
        """

    def messageReceived(frames: list[bytes]) -> None:
        """
        A whole message came.
        """

    def connectionLost(reason: Failure) -> None:
        """
        The socket is closed.
        """


class IMessageFactory(Interface):
    """
    Makes the protocol of a socket.
    """

    def buildProtocol(address: str) -> IMessageProtocol:
        """
        Make the protocol of the socket at this address.
        """


class IMessagePort(Interface):
    """
    A bound socket.
    """

    def getHost() -> str:
        """
        The address where it can be reached, wildcards resolved.
        """

    def resumeReading() -> None:
        """
        Read what comes, from now on.
        """

    def pauseReading() -> None:
        """
        Read nothing more; what comes waits in the queues.
        """

    def stopListening() -> Deferred[None]:
        """
        Close it; fires when that is done.  May be called again.
        """


class IMessageEndpoint(Interface):
    """
    A place where a socket can be bound or connected.
    """

    def listen(factory: IMessageFactory, paused: bool = False) -> Deferred[IMessagePort]:
        """
        Bind a socket here.

        @param paused: it is bound and can send, and reads nothing until
            L{IMessagePort.resumeReading}.
        @return: fails with L{jobroute.errors.CannotListen}.
        """

    def connect(factory: IMessageFactory) -> Deferred[IMessageProtocol]:
        """
        Connect a socket to here; ZeroMQ does it again for ever.

        @return: fires with the protocol at once, connected or not; fails
            with L{jobroute.errors.BadEndpoint}.
        """


class INetwork(Interface):
    """
    Where endpoints come from: libzmq, or memory.
    """

    def endpoint(
        kind: SocketKind, address: str, options: SocketOptions = SocketOptions()
    ) -> IMessageEndpoint:
        """
        The endpoint of a ZeroMQ URL, C{tcp://}, C{ipc://} or C{inproc://}.

        @raise BadEndpoint: if it is none.
        """

    def close() -> Deferred[None]:
        """
        Close all sockets and what holds them.  May be called again.
        """


# ---------------------------------------------------------------------------
# Clients' side


class AnswerKind(Enum):
    """
    What an answer to a client is; C{RESULT} and C{ERROR} are final.
    """

    RESULT = "result"
    ERROR = "error"
    PROGRESS = "progress"
    PARTIAL = "partial"
    PART = "part"


class IReplyTo(Interface):
    """
    Where the answers to one request go.  Made by the protocol it came
    through: the broker never learns what wire a client speaks.
    """

    def answer(kind: AnswerKind, value: Any, payload: model.Frames = ()) -> None:
        """
        Answer; after a final answer all others are ignored.

        @param value: a L{jobroute.errors.JobrouteError} if C{kind} is
            C{ERROR}, else whatever JSON can say.
        """


@frozen
class Caller:
    """
    Who gives a command, as the door says that it came through.

    @ivar name: stands for the client if it gives no name.
    @ivar role: C{observer}, C{operator} or C{admin}.
    """

    name: str
    role: str = "admin"


class IController(Interface):
    """
    The one dispatcher of commands.
    """

    def execute(
        name: str,
        properties: bytes | dict[str, Any],
        payload: model.Frames,
        caller: Caller,
        reply_to: IReplyTo,
    ) -> None:
        """
        Decode, authorise, validate, execute, and answer exactly once.
        Raises nothing.

        @param properties: the JSON object of the request, or what it says.
        """


class IDispatcher(Interface):
    """
    The only one that changes roster, services and parts together.
    """

    def submit(request: model.JobRequest, digest: bytes, accepted: Callable[[Any], None]) -> Any:
        """
        Accept a job whose id is free.  C{accepted} is called with the job
        when it is on disk.

        @return: the job.
        @raise Busy: if a limit is reached.
        @raise NotEnoughAgents: if it asks for more agents than there are.
        @raise NoSuchAgent: if it names one that is not known.
        """

    def call(
        request: model.JobRequest, reply_to: IReplyTo, stream: tuple[str, ...], token: str
    ) -> None:
        """
        Submit and wait in one, with no disk on its way.

        @raise Busy: as in L{submit}, and so on.
        """

    def wait(
        job: Any,
        reply_to: IReplyTo,
        client: str,
        stream: tuple[str, ...],
        timeout: float | None,
    ) -> Any:
        """
        Tell C{reply_to} of a job that has not ended.

        @raise Busy: if the client waits for too much.
        """

    def find(namespace: str, id: str) -> Any:
        """
        The job of this id if it is in memory, or L{None}.
        """

    def find_call(token: str) -> Any:
        """
        The call under way with this token, or L{None}.
        """

    def cancel(job: Any, index: int | None, asked: Callable[[int], None]) -> None:
        """
        Cancel one part of a job, or all of them.  C{asked} is called with
        the number of those that were not done yet, when that is on disk.
        """

    def input(job: Any, index: int, payload: model.Frames) -> None:
        """
        Send an input to a running part.

        @raise NotRunning: if no agent works on it.
        """

    def release(job: int, part: int, how: dict[str, Any]) -> None:
        """
        Let a part of a stored job, by their numbers, be in quarantine no more.

        @param how: that happened, for the job's history.
        """

    def why(part: Any) -> tuple[str, str]:
        """
        Why a part is where it is: a code and a sentence.
        """

    def tick() -> None:
        """
        Do what is due: lost agents, limits, cancels asked again.
        """


class IAgents(Interface):
    """
    The agents' side of the dispatcher; C{route} names the agent.  None of
    these raises for anything that an agent says.
    """

    def announced(announcement: model.Announcement, route: IAgentRoute) -> None:
        """
        An agent wants to register; it is pinged on its route.
        """

    def ponged(route: IAgentRoute, nonce: str, held: Sequence[model.Held]) -> None:
        """
        An agent answered a ping.
        """

    def beat(route: IAgentRoute, held: Sequence[model.Held]) -> None:
        """
        An agent lives, and holds these attempts.
        """

    def replied(
        route: IAgentRoute,
        part: int,
        attempt: int,
        kind: model.ReplyKind,
        value: Any,
        sequence: int,
        payload: model.Frames,
        advice: model.Advice | None = None,
    ) -> None:
        """
        An agent says something of an attempt.

        @param value: what it says: of progress any JSON value, of a failure
            or refusal the reason, of C{cancelled} whether its slot is still
            taken.
        @param sequence: the number of a partial result, from 1; of a final
            reply, how many partial results there were.
        @param advice: of a failure or refusal, what the agent says of another
            attempt, if anything.
        """

    def released(route: IAgentRoute, part: int, attempt: int) -> None:
        """
        The slot of a cancelled attempt is free at last.
        """

    def draining(route: IAgentRoute) -> None:
        """
        An agent wants no more parts.
        """

    def unregistered(route: IAgentRoute) -> None:
        """
        An agent takes leave.
        """


# ---------------------------------------------------------------------------
# Agents' side


@frozen
class Delivery:
    """
    An attempt as an agent is given it.

    @ivar volatile: it is a call, so that no disk is on its way.
    """

    part: int
    attempt: int
    job: str
    index: int
    service: str
    header: bytes
    run_limit: float | None
    volatile: bool
    payload: model.Frames


class IAgentRoute(Interface):
    """
    The way to one incarnation of an agent, made by the protocol through
    which it registered.  Nothing here raises when the agent is away.
    """

    agent = Attribute("The broker's own: whose route it is, or None.")

    identity = Attribute("A text that names the route in logs.")

    def ping(nonce: str) -> bool:
        """
        Ask for a sign of life.

        @return: whether the question could be sent.
        """

    def welcome(
        number: int, epoch: int, interval: float, liveness: int, held: Sequence[model.Held]
    ) -> None:
        """
        It is an agent now, and the broker thinks that it holds these.
        """

    def refuse(code: str, text: str) -> None:
        """
        It is not taken.
        """

    def reregister() -> None:
        """
        It is not known.
        """

    def deliver(delivery: Delivery) -> bool:
        """
        Give it an attempt.

        @return: whether that is on its way.
        """

    def cancel(part: int, attempt: int) -> None:
        """
        Ask it to stop an attempt.
        """

    def input(part: int, attempt: int, payload: model.Frames) -> None:
        """
        Give an input to an attempt.
        """

    def acknowledge(part: int, attempt: int, sequence: int = 0) -> None:
        """
        Its final reply is known for good, or its partial results up to
        C{sequence}; it need not keep them.
        """

    def farewell() -> None:
        """
        The broker stops.
        """

    def close() -> None:
        """
        The broker has no more to say to it, unless it registers again.
        """


class Due(Enum):
    """
    What a silent agent is due for.
    """

    PING = "ping"
    LOST = "lost"


class IHeartbeat(Interface):
    """
    Who was heard when.  Calls nobody.
    """

    interval = Attribute("Seconds between two beats of an agent.")

    liveness = Attribute("After how many silent intervals one is lost.")

    def add(key: Any, now: float, grace: float | None = None) -> None:
        """
        Watch somebody, who counts as heard now.

        @param grace: how long it may be silent, instead of C{liveness}
            intervals, until it is heard for the first time.
        """

    def heard(key: Any, now: float) -> None:
        """
        Somebody lives.  One that is not watched is ignored.
        """

    def forgive(gap: float) -> None:
        """
        Whoever watches was away for so many seconds: they count as no
        silence of anybody.
        """

    def silence(key: Any, now: float) -> float:
        """
        For how many seconds it was not heard.

        @raise KeyError: if it is not watched.
        """

    def remove(key: Any) -> None:
        """
        Watch it no longer.
        """

    def due(now: float) -> list[tuple[Any, Due]]:
        """
        Who has been silent for too long, and is due for what.  Its cost
        follows the number of those.  The lost are watched no longer.
        """


class ICandidate(Interface):
    """
    An agent as a policy sees it.
    """

    name = Attribute("Its name.")

    slots = Attribute("How many parts it works on at a time.")

    outstanding = Attribute("How many parts it holds.")

    credit = Attribute("How many more parts it may be given.")

    used = Attribute("Grows with each part that any agent is given.")


class IPolicy(Interface):
    """
    How one agent is picked among those that offer a service.
    """

    def add(candidate: ICandidate) -> None:
        """
        It may be picked.
        """

    def remove(candidate: ICandidate) -> None:
        """
        It may not be picked any more.
        """

    def changed(candidate: ICandidate) -> None:
        """
        It has more credit than before.
        """

    def pick() -> ICandidate | None:
        """
        The best one with credit, or L{None}.
        """

    def best(candidates: Iterable[ICandidate], number: int) -> list[ICandidate]:
        """
        The best C{number} of these, with credit or without, best first.
        """


# ---------------------------------------------------------------------------
# Storage and events


class IStorage(Interface):
    """
    What is kept.

    The broker writes on the reactor's thread and reads with Deferreds.  Reads
    see what is committed, and nothing else.
    """

    def open(
        committed: Callable[[int], None],
        trouble: Callable[[StorageError | None], None],
    ) -> Deferred[model.Restored]:
        """
        Open the store, begin a new epoch in it, and read what a broker needs
        to go on.

        @param committed: called on the reactor's thread with the position up
            to which everything is on disk.
        @param trouble: called on the reactor's thread with a
            L{StorageError} when a commit fails (it is tried again), with
            L{jobroute.errors.StorageLost} when that makes no sense, and with
            L{None} when it went well again.
        @return: fails with L{StorageError}.
        """

    def write(position: int, changes: Sequence[model.Change]) -> None:
        """
        Write these, after all that came before, and call C{committed} with
        this position when they are on disk.
        """

    def close() -> Deferred[None]:
        """
        Write what is left and close.  May be called again, and so may
        L{open} then.

        @return: fails with L{StorageError} if something could not be written.
        """

    def payload(job: int) -> Deferred[model.Frames]:
        """
        The payload of a job.

        @return: fails with L{jobroute.errors.NoSuchJob}.
        """

    def contents(jobs: Sequence[int]) -> Deferred[dict[int, model.Content]]:
        """
        The headers and payloads of those of these jobs that there are.

        @return: fails with L{StorageError} if one of them cannot be read.
        """

    def result(part: int) -> Deferred[model.Frames]:
        """
        The result of a part; no frames if it has none.
        """

    def partials(
        part: int, attempt: int, after: int, limit: int
    ) -> Deferred[list[tuple[int, model.Frames]]]:
        """
        The partial results of an attempt whose sequence number is greater
        than C{after}, in order.
        """

    def find(namespace: str, ids: Sequence[str]) -> Deferred[dict[str, model.JobRecord]]:
        """
        Those of the jobs with these ids that exist.
        """

    def parts(job: int) -> Deferred[tuple[model.PartRecord, ...]]:
        """
        The parts of a job, by index.
        """

    def jobs(
        which: model.JobFilter, before: int | None, limit: int
    ) -> Deferred[list[model.JobSummary]]:
        """
        A page of jobs, the newest first.

        @param before: only jobs with a smaller number: the last one of the
            page before.
        """

    def quarantined(
        namespace: str | None, service: str | None, before: int | None, limit: int
    ) -> Deferred[list[model.Quarantined]]:
        """
        A page of the parts in quarantine, the newest first; L{None} is any
        namespace or service.

        @param before: only parts with a smaller number.
        """

    def history(job: int) -> Deferred[model.JobHistory]:
        """
        Everything about a job.

        @return: fails with L{jobroute.errors.NoSuchJob}.
        """

    def statistics() -> Deferred[dict[str, int]]:
        """
        How much is stored: C{jobs}, C{parts}, C{events}, C{bytes}.
        """


class IObserver(Interface):
    """
    Told every event, after it was stored.
    """

    def observed(event: model.Event) -> None:
        """
        Something happened.
        """
