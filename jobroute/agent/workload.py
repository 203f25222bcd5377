# -*- test-case-name: tests.agent.test_workload -*-
"""
The attempts that an agent holds, and its slots.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from attrs import define, field
from msgspec import Raw

from jobroute.agent.attempts import Attempt, Key, Stage
from jobroute.agent.outbox import Outbox
from jobroute.agent.outlet import Outlet
from jobroute.interfaces import Delivery
from jobroute.model import Advice, Announcement, Frames
from jobroute.wire.backend import BrokerMessage, encode_agent_message

#: So many attempts that are over are remembered, to know one delivered twice.
SEEN = 10_000

#: So many attempts may wait for a slot, whatever the broker thinks.
WAITING = 10_000


@define(eq=False)
class Workload:
    """
    What was given to one incarnation.

    @ivar paused: whether nothing new may begin.
    @ivar running: how many slots are taken.
    @ivar done: how many attempts got their final reply.
    """

    _announcement: Announcement
    _outlet: Outlet
    _outbox: Outbox
    paused: bool = field(default=False, init=False)
    running: int = field(default=0, init=False)
    done: int = field(default=0, init=False)
    _attempts: dict[Key, Attempt] = field(factory=dict, init=False)
    _waiting: deque[Attempt] = field(factory=deque, init=False)
    # The job of each attempt that is over and acknowledged.
    _seen: OrderedDict[Key, str] = field(factory=OrderedDict, init=False)
    _filling: bool = field(default=False, init=False)

    @property
    def held(self) -> list[Key]:
        """
        The attempts that beats name.
        """
        return list(self._attempts)

    @property
    def attempts(self) -> list[Attempt]:
        """
        The same, as they are.
        """
        return list(self._attempts.values())

    @property
    def idle(self) -> bool:
        """
        Whether there is nothing to work on.
        """
        return not self.running and not self._waiting

    @property
    def settled(self) -> bool:
        """
        Whether, beyond that, everything is acknowledged.
        """
        return self.idle and not self._attempts

    def lose_memory(self) -> None:
        """
        The broker is in another life, or had forgotten us: what it delivers
        is new, even under numbers that were in use.
        """
        self._seen.clear()

    # -- From the broker

    def delivered(self, message: BrokerMessage, now: float) -> None:
        """
        An attempt was given; perhaps not for the first time.
        """
        key = (message.part, message.attempt)
        known = self._attempts.get(key)
        if known is not None:
            d = known.delivery
            if (d.job, d.index, d.service) == (message.job, message.index, message.service):
                if known.final is not None:
                    self._outbox.resend(known, now)
                return
            # A broker that lost its memory, and counts from the start again.
            self._drop(known)
        delivery = Delivery(
            message.part,
            message.attempt,
            message.job,
            message.index,
            message.service,
            bytes(message.header),
            message.run_limit,
            message.volatile,
            message.payload,
        )
        if self._seen.get(key) == message.job:
            self._decline(delivery, "failure", "It was done, and the result is not kept.", now)
        elif message.service not in self._announcement.services:
            reason = f"This agent does not offer {message.service[:128]}."
            self._decline(delivery, "refused", reason, now)
        elif len(self._waiting) >= WAITING:
            self._decline(delivery, "refused", "This agent holds too much already.", now)
        else:
            attempt = Attempt(delivery)
            self._attempts[key] = attempt
            self._waiting.append(attempt)
            self.fill(now)
            attempt.late = attempt.stage is Stage.WAITING

    def cancel(self, key: Key, now: float) -> None:
        """
        Stop working on it.
        """
        attempt = self._attempts.get(key)
        if attempt is None:
            frames = encode_agent_message("cancelled", part=key[0], attempt=key[1])
            self._outbox.say(frames, now)
        elif attempt.stage is Stage.WAITING:
            attempt.cancelled = True
            self._waiting.remove(attempt)
            attempt.stage = Stage.DONE
            self._final(attempt, "cancelled", (), "", now)
        elif attempt.stage is Stage.RUNNING:
            attempt.cancelled = True
            self._outlet.cancel(attempt)
            if attempt.stage is Stage.RUNNING:
                # It cannot be stopped at once, and the verdict does not wait.
                attempt.stage = Stage.STOPPED
                attempt.unfreed = True
                self._outbox.forget_partials(attempt)
                self._final(attempt, "cancelled", (), "", now, running=True)
        elif attempt.unfreed and attempt.final is None:
            self._outbox.say(self._encode(attempt, "cancelled", running=True), now)
        # Otherwise the final reply is on its way, and is sent again by timer.

    def input(self, key: Key, payload: Frames) -> None:
        """
        An input came for a part.
        """
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.stage is Stage.RUNNING:
            self._outlet.input(attempt, payload)

    def acknowledged(self, entries: Sequence[Sequence[int]], now: float) -> None:
        """
        These need not be kept any more.
        """
        for entry in entries:
            if not 2 <= len(entry) <= 3:
                continue
            attempt = self._attempts.get((entry[0], entry[1]))
            if attempt is None:
                continue
            if len(entry) == 3:
                self._outbox.acknowledge(attempt, entry[2], now)
            elif attempt.stage is Stage.DONE:
                self._forget(attempt)
            elif attempt.stage is Stage.STOPPED:
                self._outbox.forget(attempt)
            else:
                # It is not known there.
                self._drop(attempt)
        if self._waiting:
            self.fill(now)

    def _drop(self, attempt: Attempt) -> None:
        """
        Nobody wants to hear of it any more.
        """
        self._outbox.forget(attempt)
        self._attempts.pop(attempt.key, None)
        attempt.dropped = True
        if attempt.stage is Stage.WAITING:
            self._waiting.remove(attempt)
            attempt.stage = Stage.DONE
        elif attempt.stage is Stage.RUNNING:
            attempt.cancelled = True
            attempt.stage = Stage.STOPPED
            self._outlet.cancel(attempt)

    def stop_all(self, reason: str, now: float) -> None:
        """
        Stop all work, and let it have failed for this reason.
        """
        for attempt in self.attempts:
            if attempt.stage is Stage.RUNNING:
                attempt.cancelled = True
                attempt.stage = Stage.STOPPED
                self._final(attempt, "failure", (), reason, now)
                self._outlet.cancel(attempt)

    # -- From the functions

    def partial(self, attempt: Attempt, payload: Frames, now: float) -> None:
        """
        The work has a partial result; after its end it is ignored.
        """
        if attempt.stage is Stage.RUNNING:
            self._outbox.add_partial(attempt, payload, now)

    def progress(self, attempt: Attempt, value: Raw, now: float) -> None:
        """
        The work got so far.
        """
        if attempt.stage is Stage.RUNNING:
            self._outbox.progress(attempt, value, now)

    def finished(
        self,
        attempt: Attempt,
        kind: str,
        payload: Frames,
        reason: str,
        now: float,
        advice: Advice | None = None,
    ) -> None:
        """
        The function has returned.

        @param kind: C{result}, C{failure}, C{refused}, C{lost} or
            C{cancelled}.
        @param advice: what it says of another attempt.
        """
        if attempt.stage is Stage.RUNNING:
            self.running -= 1
            attempt.stage = Stage.DONE
            if kind in ("cancelled", "lost"):
                self._outbox.forget_partials(attempt)
            self._final(attempt, kind, payload, reason, now, advice=advice)
        elif attempt.stage is Stage.STOPPED:
            self.running -= 1
            attempt.stage = Stage.DONE
            if not attempt.dropped:
                self._released(attempt, now)
        if self._waiting:
            self.fill(now)

    def fill(self, now: float) -> None:
        """
        Let waiting attempts begin while there are slots.
        """
        if self._filling:
            # A function that returns at once ends up here.
            return
        self._filling = True
        try:
            while self._waiting and self.running < self._announcement.slots:
                if self.paused or self._outbox.full:
                    break
                attempt = self._waiting.popleft()
                attempt.stage = Stage.RUNNING
                self.running += 1
                if attempt.late:
                    self._outbox.say(self._encode(attempt, "started"), now)
                self._outlet.start(attempt)
        finally:
            self._filling = False

    def _released(self, attempt: Attempt, now: float) -> None:
        if attempt.unfreed:
            if attempt.final is not None:
                # Said again, it must not take a slot that is free.
                self._outbox.replace_final(attempt, self._encode(attempt, "cancelled"))
            self._outbox.say(self._encode(attempt, "released"), now)
        if attempt.final is None:
            self._forget(attempt)

    def _decline(self, delivery: Delivery, kind: str, reason: str, now: float) -> None:
        attempt = Attempt(delivery, Stage.DONE)
        self._attempts[attempt.key] = attempt
        self._final(attempt, kind, (), reason, now)

    def _final(
        self,
        attempt: Attempt,
        kind: str,
        payload: Frames,
        reason: str,
        now: float,
        running: bool = False,
        advice: Advice | None = None,
    ) -> None:
        self.done += 1
        members: dict[str, object] = {}
        if kind in ("failure", "refused", "lost"):
            members["reason"] = reason
            if advice is not None and not advice.retry:
                members["retry"] = False
            if advice is not None and advice.after is not None:
                members["retry_after"] = advice.after
        if running:
            members["running"] = True
        if attempt.sequence and kind in ("result", "failure"):
            members["partials"] = attempt.sequence
        self._outbox.add_final(attempt, self._encode(attempt, kind, payload, **members), now)

    def _encode(
        self, attempt: Attempt, kind: str, payload: Frames = (), **members: object
    ) -> list[bytes]:
        d = attempt.delivery
        return encode_agent_message(kind, payload, part=d.part, attempt=d.attempt, **members)

    def _forget(self, attempt: Attempt) -> None:
        self._outbox.forget(attempt)
        key = attempt.key
        if self._attempts.get(key) is attempt:
            del self._attempts[key]
        self._seen[key] = attempt.delivery.job
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)
