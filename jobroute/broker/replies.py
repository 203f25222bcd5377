# -*- test-case-name: tests.broker.test_replies -*-
"""
What agents say of attempts, and what becomes of it.

A reply counts if its attempt is the latest of its part, was given to that
incarnation, and has not ended.  All others are acknowledged, so that nobody
says them for ever; they are counted, and noted in the job's history.
"""

from __future__ import annotations

from typing import Any

from attrs import define

from jobroute.broker.deliveries import Deliveries
from jobroute.broker.endings import Endings
from jobroute.broker.events import Events
from jobroute.broker.journal import Journal
from jobroute.broker.losses import clipped
from jobroute.broker.numbers import Numbers
from jobroute.broker.parts import Attempt
from jobroute.broker.roster import Agent
from jobroute.broker.verdicts import Verdicts
from jobroute.config import Limits
from jobroute.model import Advice, Frames, PartialStored, ReplyKind, Verdict

_FINAL = {
    ReplyKind.RESULT: Verdict.SUCCEEDED,
    ReplyKind.FAILURE: Verdict.FAILED,
    ReplyKind.REFUSED: Verdict.REFUSED,
}

#: How many refused replies of one incarnation are noted.
NOTES = 1000

_Key = tuple[int, int]


@define(eq=False, repr=False)
class Replies:
    """
    Takes the replies of agents that are known.
    """

    _limits: Limits
    _journal: Journal
    _events: Events
    _numbers: Numbers
    _deliveries: Deliveries
    _endings: Endings
    _verdicts: Verdicts
    _counters: dict[str, int]

    def replied(
        self,
        agent: Agent,
        key: _Key,
        kind: ReplyKind,
        value: Any,
        sequence: int,
        payload: Frames,
        advice: Advice | None = None,
    ) -> None:
        """
        An agent says something of an attempt.
        """
        found = agent.held.get(key)
        verdict = _FINAL.get(kind)
        if found is None or not found.current:
            self._late(agent, key, kind, value, sequence, found)
        elif verdict is not None:
            self._final(agent, found, verdict, value, sequence, payload, advice)
        elif kind is ReplyKind.PARTIAL:
            self._partial(agent, found, sequence, payload)
        elif kind is ReplyKind.PROGRESS:
            found.output = clipped(value)
            self._begun(found)
            for wait in found.part.job.waits:
                wait.progress(found.part, value)
        elif kind is ReplyKind.CANCELLED:
            self._cancelled(agent, found, bool(value))
        elif kind is ReplyKind.LOST:
            self._lost(agent, found, value)
        elif kind is ReplyKind.STARTED:
            self._deliveries.started(found)

    def released(self, agent: Agent, key: _Key) -> None:
        """
        An agent has the slot of a cancelled attempt back.
        """
        found = agent.held.get(key)
        if found is not None and not found.current:
            self._deliveries.release(found)

    # -- Those that count ----------------------------------------------------

    def _final(
        self,
        agent: Agent,
        attempt: Attempt,
        verdict: Verdict,
        reason: Any,
        partials: int,
        payload: Frames,
        advice: Advice | None,
    ) -> None:
        part = attempt.part
        if partials > part.partials:
            # Some are still missing; the agent sends all of them again.
            self._counters["partials_refused"] += 1
            return
        self._counters["replies"] += 1
        if verdict is Verdict.SUCCEEDED:
            self._verdicts.end(part, verdict, None, payload)
        else:
            self._endings.over(attempt, verdict, reason or None, payload, advice)
        self._settle(agent, attempt)
        self._deliveries.release(attempt)

    def _settle(self, agent: Agent, attempt: Attempt) -> None:
        """
        Acknowledge a final reply when it is on disk.
        """
        if attempt.part.job.volatile:
            agent.route.acknowledge(attempt.part.number, attempt.number)
        else:
            agent.settling[attempt.key] = None
            self._journal.park(self._settled, agent, attempt.key)

    def _settled(self, agent: Agent, key: _Key) -> None:
        del agent.settling[key]
        agent.route.acknowledge(*key)

    def _begun(self, attempt: Attempt) -> None:
        """
        An agent says something that it cannot say before it works.
        """
        if attempt.prefetched:
            self._deliveries.started(attempt)

    def _partial(self, agent: Agent, attempt: Attempt, sequence: int, payload: Frames) -> None:
        part = attempt.part
        if sequence != part.partials + 1:
            self._counters["partials_refused"] += 1
            if sequence <= part.partials and not self._journal.backlog:
                # Else the first one's acknowledgement is still to come.
                agent.route.acknowledge(*attempt.key, sequence)
            return
        if self._journal.backlog > self._limits.journal and not part.job.volatile:
            # The disk does not keep up; the agent keeps it, and sends it again.
            self._counters["partials_refused"] += 1
            return
        limit = self._limits.partials
        if sequence > limit:
            self._counters["partials_refused"] += 1
            self._verdicts.end(part, Verdict.FAILED, f"It has more than {limit} partial results.")
            self._deliveries.stop(attempt)
            return
        part.partials = sequence
        attempt.output = clipped(payload[0]) if payload else b""
        self._begun(attempt)
        self._counters["partials"] += 1
        if part.job.volatile:
            self._tell_partial(agent, attempt, sequence, payload)
        else:
            self._journal.append(PartialStored(part.number, attempt.number, sequence, payload))
            self._journal.park(self._tell_partial, agent, attempt, sequence, payload)

    def _tell_partial(self, agent: Agent, attempt: Attempt, sequence: int, payload: Frames) -> None:
        agent.route.acknowledge(*attempt.key, sequence)
        if attempt.number == attempt.part.made:
            for wait in attempt.part.job.waits:
                wait.partial(attempt, sequence, payload)

    def _cancelled(self, agent: Agent, attempt: Attempt, running: bool) -> None:
        part = attempt.part
        if part.cancelling:
            self._verdicts.end(part, Verdict.CANCELLED, None)
            self._settle(agent, attempt)
        elif attempt.overdue:
            self._endings.over(attempt, Verdict.TIMED_OUT, None)
            self._settle(agent, attempt)
        else:
            # Nobody works on it any more, whoever is to blame.
            reason = "Its agent stopped it, and was not asked to."
            self._refused(agent, attempt.key, ReplyKind.CANCELLED, reason)
            self._endings.lost(attempt, reason)
            self._journal.park(agent.route.acknowledge, *attempt.key)
        if running:
            attempt.lingering = True
        else:
            self._deliveries.release(attempt)

    def _lost(self, agent: Agent, attempt: Attempt, reason: str) -> None:
        self._counters["replies"] += 1
        # As bad as if it had cost the whole agent.
        self._endings.lost(attempt, reason or "What worked on it has died.", died=True)
        self._settle(agent, attempt)
        self._deliveries.release(attempt)

    # -- Those that don't ----------------------------------------------------

    def _late(
        self,
        agent: Agent,
        key: _Key,
        kind: ReplyKind,
        value: Any,
        sequence: int,
        found: Attempt | None,
    ) -> None:
        """
        A reply of an attempt that does not count, or is over.
        """
        if kind in (ReplyKind.PROGRESS, ReplyKind.STARTED) or key in agent.settling:
            # Nothing hangs on it, or it is on its way to the disk already.
            return
        if kind is not ReplyKind.CANCELLED:
            over = "It is over, or was never given to that agent."
            ended = "Its part had a verdict already."
            self._refused(agent, key, kind, over if found is None else ended)
        # The verdict that made it late may still be on its way to the disk.
        if kind is ReplyKind.PARTIAL:
            self._journal.park(agent.route.acknowledge, *key, sequence)
            return
        if found is not None:
            if kind is ReplyKind.CANCELLED and value:
                found.lingering = True
            else:
                self._deliveries.release(found)
        self._journal.park(agent.route.acknowledge, *key)

    def _refused(self, agent: Agent, key: _Key, kind: ReplyKind, reason: str) -> None:
        """
        Count it, and note it in the history of the part's job, whichever it
        is; but an agent that raves must not fill the store.
        """
        self._counters["replies_refused"] += 1
        agent.notes += 1
        if agent.notes <= NOTES and 0 < key[0] < self._numbers.next:
            self._events.record(
                "reply.refused",
                part=key[0],
                attempt=key[1],
                agent=agent.name,
                data={"reply": kind.value, "reason": reason},
            )
