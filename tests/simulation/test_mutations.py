"""
The simulation finds what it is for: brokers and agents that are broken on
purpose break the promise that they should, within the seeds of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.outbox import Outbox
from jobroute.broker import losses, submissions
from jobroute.broker.agents import Agents
from jobroute.broker.clients import Clients
from jobroute.broker.deliveries import Deliveries
from jobroute.broker.endings import Endings
from jobroute.broker.heartbeat import Heartbeat
from jobroute.broker.journal import Journal
from jobroute.broker.numbers import Numbers
from jobroute.broker.recovery import Recovery
from jobroute.broker.replies import Replies
from jobroute.broker.retries import Retries
from jobroute.broker.roster import Agent
from jobroute.broker.timers import Timers
from jobroute.broker.verdicts import Verdicts
from jobroute.broker.waits import Calls
from jobroute.interfaces import AnswerKind, Due
from jobroute.model import (
    Advice,
    AttemptMade,
    Change,
    Event,
    Frames,
    Held,
    JobAccepted,
    PartState,
    Past,
    ReplyKind,
    Verdict,
)
from jobroute.protocols import frontend
from jobroute.protocols.frontend import FrontendProtocol, ReplyTo
from jobroute.storage.tables import Tables
from jobroute.testing import boundaries, promises, retrying, sureties
from jobroute.testing.checker import title
from jobroute.testing.faults import (
    FAULTS,
    Fault,
    crash_agent,
    crash_broker,
    freeze_agent,
    freeze_broker,
    lose_delivery,
    partition,
)
from jobroute.testing.mishaps import stall_disk
from jobroute.testing.promises import Promise
from jobroute.testing.simulation import simulate

#: Within so many seeds each is found.
SEEDS = 1000


class MutationTests(SynchronousTestCase):
    """
    One thing is broken, and found.
    """

    def caught(self, promise: Promise, *faults: Fault) -> None:
        """
        Some seed breaks this promise.

        @param faults: what may go wrong in it, if not all; that is quicker.
        """
        for seed in range(SEEDS):
            report = simulate(seed, dict.fromkeys(faults, 1) if faults else FAULTS)
            # What the mutation breaks beside the promise is of no interest.
            self.flushLoggedErrors()
            if title(promise) in [breach.promise for breach in report.breaches]:
                return
        self.fail(f"No seed broke the promise: {title(promise)}.")

    def test_told_too_early(self) -> None:
        """
        The journal releases effects before they are on disk.
        """

        def park(self: Journal, effect: Callable[..., object], *arguments: Any) -> None:
            effect(*arguments)

        self.patch(Journal, "park", park)
        self.caught(promises.acknowledged_is_on_disk)

    def test_acknowledged_too_early(self) -> None:
        """
        A result is acknowledged to the agent before it is on disk.
        """
        settle = Replies._settle

        def hastily(self: Replies, agent: Agent, attempt: Any) -> None:
            agent.route.acknowledge(*attempt.key)
            settle(self, agent, attempt)

        self.patch(Replies, "_settle", hastily)
        self.caught(promises.attempt_begun_once)

    def test_jobs_not_stored(self) -> None:
        """
        Accepted jobs are not written.
        """
        append = Journal.append

        def forget(self: Journal, change: Change) -> None:
            if not isinstance(change, JobAccepted) or change.job.number % 5:
                append(self, change)

        self.patch(Journal, "append", forget)
        self.caught(promises.acknowledged_is_on_disk)

    def test_attempts_not_stored(self) -> None:
        """
        Attempts are delivered that are not written.
        """
        append = Journal.append

        def forget(self: Journal, change: Change) -> None:
            if not isinstance(change, AttemptMade):
                append(self, change)

        self.patch(Journal, "append", forget)
        self.caught(promises.attempt_begun_once)

    def test_stale_replies(self) -> None:
        """
        A reply of an earlier attempt is taken for one of the present.
        """
        replied = Replies.replied

        def careless(
            self: Replies,
            agent: Agent,
            key: tuple[int, int],
            kind: ReplyKind,
            value: Any,
            sequence: int,
            payload: Frames,
            advice: Advice | None = None,
        ) -> None:
            for job in list(self._verdicts.jobs.values()):
                for part in job.parts:
                    attempt = part.attempt
                    if part.number == key[0] and attempt and kind is ReplyKind.RESULT:
                        agent, key, sequence = attempt.agent, attempt.key, 0
            replied(self, agent, key, kind, value, sequence, payload, advice)

        self.patch(Replies, "replied", careless)
        self.caught(promises.no_stale_answer, freeze_agent, partition)

    def test_attempts_without_limit(self) -> None:
        """
        What is lost is given to another agent, however often.
        """
        lost = Endings.lost

        def again(self: Endings, attempt: Any, reason: str, died: bool = False) -> None:
            if attempt.current:
                attempt.part.job.attempts = attempt.part.made + 1
            lost(self, attempt, reason, died)

        self.patch(Endings, "lost", again)
        self.caught(promises.attempts_as_allowed)

    def test_impatient(self) -> None:
        """
        An agent is lost at the first beat that is late.
        """
        due = Heartbeat.due

        def impatient(self: Heartbeat, now: float) -> list[tuple[Any, Due]]:
            found = [(key, Due.LOST) for key, _ in due(self, now)]
            for key, _ in found:
                self.remove(key)
            return found

        self.patch(Heartbeat, "due", impatient)
        self.caught(promises.one_holder)

    def test_running_parts_queued(self) -> None:
        """
        After a restart running parts are given to others at once.
        """
        self._recover(
            lambda record: (
                replace(record, state=PartState.QUEUED)
                if record.state is PartState.RUNNING
                else record
            )
        )
        self.caught(promises.attempts_as_allowed)

    def test_cancels_forgotten(self) -> None:
        """
        After a restart nobody knows what was to be cancelled.
        """
        self._recover(lambda record: replace(record, cancelling=False))
        self.caught(sureties.cancelled_is_not_delivered, crash_broker, crash_agent)

    def _recover(self, change: Callable[[Any], Any]) -> None:
        part = Recovery._part

        def changed(self: Recovery, record: Any, job: Any) -> None:
            part(self, change(record), job)

        self.patch(Recovery, "_part", changed)

    def test_suspects_trusted(self) -> None:
        """
        After a restart agents are given work before they are heard.
        """
        agent = Recovery._agent

        def trusting(self: Recovery, record: Any) -> None:
            agent(self, record)
            found = self._roster.get(record.name)
            assert found is not None
            found.suspect, found.admitted = False, True
            for service in found.services:
                service.policy.add(found)

        self.patch(Recovery, "_agent", trusting)
        self.caught(sureties.nothing_for_suspects)

    def test_renumbered(self) -> None:
        """
        After a restart agents have other numbers.
        """
        agent = Recovery._agent

        def renumbering(self: Recovery, record: Any) -> None:
            agent(self, evolve(record, number=record.number + 1))

        self.patch(Recovery, "_agent", renumbering)
        self.caught(sureties.agents_keep_their_numbers)

    def test_any_job_is_the_same(self) -> None:
        """
        Another job under a known id is taken for the same.
        """
        self.patch(submissions, "digest", lambda request: b"same")
        self.caught(sureties.same_id_same_job)

    def test_partials_from_the_middle(self) -> None:
        """
        Who waits late is not told the earlier partial results.
        """
        self.patch(Verdicts, "_replay", lambda self, wait: None)
        self.caught(promises.partials_complete, stall_disk)

    def test_asleep(self) -> None:
        """
        A broker that slept takes all agents for lost.
        """
        self.patch(Heartbeat, "forgive", lambda self, gap: None)
        self.caught(sureties.known_while_heard, freeze_broker)

    def test_said_once(self) -> None:
        """
        An agent says nothing again that was lost on its way.
        """
        self.patch(Outbox, "resend", lambda self, attempt, now: None)
        self.caught(promises.kept_until_told)

    def test_bare_beats(self) -> None:
        """
        A beat that names nothing renews everything.
        """
        beat = Agents.beat

        def renewing(self: Agents, route: Any, held: Any) -> None:
            if route.agent is not None:
                held = [Held(*key) for key in route.agent.held]
            beat(self, route, held)

        self.patch(Agents, "beat", renewing)
        self.caught(retrying.given_is_begun, lose_delivery)

    def test_two_verdicts(self) -> None:
        """
        What ends is told to end once more.
        """
        append = Journal.append

        def twice(self: Journal, change: Change) -> None:
            append(self, change)
            if isinstance(change, Event) and change.kind == "part.ended":
                append(self, evolve(change, number=10**9 + change.number))

        self.patch(Journal, "append", twice)
        self.caught(promises.verdict_for_every_part)

    def test_late_verdicts(self) -> None:
        """
        Nobody looks at the time.
        """
        self.patch(Timers, "due", lambda self, now: [])
        self.caught(promises.verdict_for_every_part, crash_agent)

    def test_numbers_again(self) -> None:
        """
        After a restart the numbers begin where the stored ones end.
        """
        begin = Numbers.begin

        def again(self: Numbers, first: int) -> None:
            begin(self, max(1, first - 100_000))
            self._granted = first

        self.patch(Numbers, "begin", again)
        self.caught(sureties.numbers_never_again, crash_broker)

    def test_answered_by_identity(self) -> None:
        """
        After a restart those who had asked before are answered by their
        identities.
        """
        received = FrontendProtocol.messageReceived
        identities: dict[bytes, None] = {}

        def remembering(self: FrontendProtocol, frames: list[bytes]) -> None:
            for identity in list(identities):
                if identity == frames[0]:
                    self.send([identity, b"", b'{"id": 4711, "result": {}}'])
            identities[frames[0]] = None
            received(self, frames)

        self.patch(FrontendProtocol, "messageReceived", remembering)
        self.caught(boundaries.answers_to_who_asked, crash_broker)

    def test_any_call(self) -> None:
        """
        A token finds any call that is under way.
        """
        self.patch(Calls, "find", lambda self, token: next(iter(self._open.values()), None))
        self.caught(boundaries.own_answers_only)

    def test_answered_twice(self) -> None:
        """
        A final answer does not end a request.
        """
        answer = ReplyTo.answer

        def again(self: ReplyTo, kind: AnswerKind, value: Any, payload: Frames = ()) -> None:
            answer(self, kind, value, payload)
            if kind is AnswerKind.ERROR:
                self._done = False
                answer(self, kind, value, payload)

        self.patch(ReplyTo, "answer", again)
        self.caught(boundaries.answered_once)

    def test_not_answered(self) -> None:
        """
        What is no request is not answered.
        """
        self.patch(frontend, "encode_error", lambda envelope, id, error: [])
        self.patch(FrontendProtocol, "send", _silent(FrontendProtocol.send))
        self.caught(boundaries.answered_once)

    def test_no_limit(self) -> None:
        """
        Clients may have any number of jobs.
        """
        self.patch(Clients, "check", lambda self, client, jobs=1: None)
        self.caught(boundaries.full_means_full)

    def test_tail_dropped(self) -> None:
        """
        The last of what is committed together is not.
        """
        apply = Tables.apply

        def most(self: Tables, changes: Sequence[Change]) -> None:
            apply(self, changes[:-1] if len(changes) > 6 else changes)

        self.patch(Tables, "apply", most)
        self.caught(boundaries.events_without_gaps)

    def test_notes_forgotten(self) -> None:
        """
        A late reply is acknowledged, and not noted.
        """
        self.patch(Replies, "_refused", lambda self, agent, key, kind, reason: None)
        self.caught(boundaries.stale_replies_kept, freeze_agent, partition)

    def test_never_quarantined(self) -> None:
        """
        A part may cost any number of agents their lives.
        """
        self.patch(losses, "counted", lambda attempt, at, reason: Past(1))
        self.patch(
            Endings,
            "_quarantine",
            lambda self, part, past: self._verdicts.end(part, Verdict.LOST, None, past=past),
        )
        self.caught(retrying.quarantined_when_due, crash_agent)

    def test_retried_at_once(self) -> None:
        """
        No attempt waits until it is due.
        """
        self.patch(Retries, "pause", _hasty(Retries.pause))
        self.patch(Deliveries, "hold", lambda self, part: self.place(part))
        self.caught(retrying.retried_in_time)


def _silent(send: Callable[..., None]) -> Callable[..., None]:
    """
    Sends but what is empty.
    """

    def some(self: FrontendProtocol, frames: list[bytes]) -> None:
        if frames:
            send(self, frames)

    return some


def _hasty(pause: Callable[..., float | None]) -> Callable[..., float | None]:
    """
    Lets everything be worth another attempt.
    """

    def always(self: Retries, part: Any, verdict: Verdict, advice: Any = None) -> float | None:
        found = pause(self, part, verdict, advice)
        return 0.5 if found is None and part.made < part.job.attempts else found

    return always
