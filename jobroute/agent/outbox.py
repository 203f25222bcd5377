# -*- test-case-name: tests.agent.test_outbox -*-
"""
What an agent has said and the broker has not acknowledged: it is kept, and
sent again until it is.

Partial results go out in order, and before the final reply; when an
acknowledgement is missing, everything from the first unacknowledged one is
sent again.  A socket that is full loses nothing: what could not be sent
waits here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from math import inf

from attrs import define, field
from msgspec import Raw

from jobroute.agent.attempts import Attempt, Partial
from jobroute.wire.backend import encode_agent_message

MIB = 1024 * 1024

#: The pause before something is sent again doubles so many times.
LEVELS = 5

#: Seconds until a full socket is tried again.
CONGESTED = 0.05

#: Seconds between two messages of progress of one attempt.
PROGRESS = 0.1


@define(eq=False)
class Outbox:
    """
    Everything unacknowledged of one agent.

    @ivar max_entries: how many replies are kept before partial results
        and new work have to wait.
    @ivar max_bytes: how many bytes, in the same way.
    @ivar pause: seconds after which something is sent again at first.
    @ivar open: whether the broker listens; until then nothing is sent.
    @ivar entries: how many replies are kept.
    @ivar size: how many bytes they have.
    @ivar resent: how often something was sent again.
    """

    _send: Callable[[list[bytes]], bool]
    max_entries: int = 10_000
    max_bytes: int = 1024 * MIB
    pause: float = 4.0
    open: bool = field(default=False, init=False)
    entries: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    resent: int = field(default=0, init=False)
    _queue: deque[Attempt] = field(factory=deque, init=False)
    # Loose messages that are said once: nothing waits for an answer.
    _loose: deque[list[bytes]] = field(factory=deque, init=False)
    _retry: float = field(default=inf, init=False)
    # One list for each pause, so that each is in the order of time.
    _timers: list[OrderedDict[Attempt, None]] = field(init=False)
    _progress: dict[Attempt, None] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._timers = [OrderedDict() for _ in range(LEVELS)]

    @property
    def full(self) -> bool:
        """
        Whether nothing more should be put in.
        """
        return self.entries >= self.max_entries or self.size >= self.max_bytes

    @property
    def deadline(self) -> float:
        """
        When L{due} has something to do.
        """
        if not self.open:
            return inf
        when = self._retry
        for timers in self._timers:
            if timers:
                when = min(when, next(iter(timers)).again)
        if self._progress:
            when = min(when, next(iter(self._progress)).progressed + PROGRESS)
        return when

    # -- Putting in

    def fits(self, size: int) -> bool:
        """
        Whether a partial result of this size may be put in now.
        """
        if not self.entries:
            return True
        return self.entries < self.max_entries and self.size + size <= self.max_bytes

    def add_partial(self, attempt: Attempt, payload: Sequence[bytes], now: float) -> None:
        """
        Keep a partial result, and send it.
        """
        attempt.sequence += 1
        part, number = attempt.key
        frames = encode_agent_message(
            "partial", payload, part=part, attempt=number, sequence=attempt.sequence
        )
        if attempt.partials is None:
            attempt.partials = deque()
        size = sum(map(len, frames))
        attempt.partials.append(Partial(attempt.sequence, frames, size))
        self.entries += 1
        self.size += size
        self._put(attempt, now)

    def add_final(self, attempt: Attempt, frames: list[bytes], now: float) -> None:
        """
        Keep a final reply, and send it.
        """
        attempt.progress = None
        attempt.said = False
        attempt.final = frames
        attempt.size = sum(map(len, frames))
        self.entries += 1
        self.size += attempt.size
        self._put(attempt, now)

    def replace_final(self, attempt: Attempt, frames: list[bytes]) -> None:
        """
        Say this the next time, instead of what was said.
        """
        assert attempt.final is not None
        self.size -= attempt.size
        attempt.final = frames
        attempt.size = sum(map(len, frames))
        self.size += attempt.size

    def progress(self, attempt: Attempt, value: Raw, now: float) -> None:
        """
        Say how far it is: at once, or later if that was said just now.
        Only the latest is said.
        """
        attempt.progress = value
        if now - attempt.progressed >= PROGRESS and self._say_progress(attempt, now):
            return
        self._progress[attempt] = None

    def say(self, frames: list[bytes], now: float) -> None:
        """
        Say something once, when the broker listens.
        """
        if self._loose or not self.open or not self._send(frames):
            self._loose.append(frames)
            if len(self._loose) > self.max_entries:
                self._loose.popleft()
            self._retry = min(self._retry, now + CONGESTED)

    # -- Taking out

    def acknowledge(self, attempt: Attempt, sequence: int, now: float) -> None:
        """
        The partial results up to this one need not be kept any more.
        """
        moved = False
        while attempt.partials and attempt.partials[0].sequence <= sequence:
            partial = attempt.partials.popleft()
            self.entries -= 1
            self.size -= partial.size
            attempt.sent = max(0, attempt.sent - 1)
            moved = True
        if moved:
            attempt.level = 0
            self._clear(attempt)
            if attempt.sent or attempt.said:
                self._set(attempt, now)

    def forget(self, attempt: Attempt) -> None:
        """
        Nothing of it need be kept any more.
        """
        self.forget_partials(attempt)
        if attempt.final is not None:
            self.entries -= 1
            self.size -= attempt.size
            attempt.final = None
        attempt.progress = None
        self._progress.pop(attempt, None)
        self._clear(attempt)

    def forget_partials(self, attempt: Attempt) -> None:
        """
        Nobody wants its partial results any more.
        """
        for partial in attempt.partials or ():
            self.entries -= 1
            self.size -= partial.size
        attempt.partials = None
        attempt.sent = 0

    # -- Sending

    def resend(self, attempt: Attempt, now: float) -> None:
        """
        Send all of it again.
        """
        attempt.sent = 0
        attempt.said = False
        if attempt.final is not None or attempt.partials:
            self.resent += 1
            self._put(attempt, now)

    def resume(self, attempts: Sequence[Attempt], now: float) -> None:
        """
        The broker listens again: send everything of these again.
        """
        self.open = True
        for attempt in attempts:
            attempt.level = 0
            self._clear(attempt)
            self.resend(attempt, now)
        self.flush(now)

    def flush(self, now: float) -> None:
        """
        Send what waits, until the socket is full.
        """
        self._retry = inf
        if not self.open:
            return
        while self._loose:
            if not self._send(self._loose[0]):
                self._retry = now + CONGESTED
                return
            self._loose.popleft()
        while self._queue:
            attempt = self._queue[0]
            if not self._transmit(attempt, now):
                self._retry = now + CONGESTED
                return
            self._queue.popleft()
            attempt.queued = False

    def due(self, now: float) -> None:
        """
        Send again what was not acknowledged in time.
        """
        if not self.open:
            return
        if self._retry <= now:
            self.flush(now)
        for level, timers in enumerate(self._timers):
            while timers:
                attempt = next(iter(timers))
                if attempt.again > now:
                    break
                self._clear(attempt)
                attempt.level = min(level + 1, LEVELS - 1)
                self.resend(attempt, now)
        while self._progress:
            attempt = next(iter(self._progress))
            if attempt.progressed + PROGRESS > now:
                break
            del self._progress[attempt]
            if attempt.progress is not None and not self._say_progress(attempt, now):
                attempt.progressed = now
                self._progress[attempt] = None

    def _put(self, attempt: Attempt, now: float) -> None:
        if attempt.queued:
            return
        if not self._queue and self.open and self._transmit(attempt, now):
            return
        attempt.queued = True
        self._queue.append(attempt)
        if self._retry > now + CONGESTED:
            self._retry = now + CONGESTED

    def _transmit(self, attempt: Attempt, now: float) -> bool:
        partials = attempt.partials
        if partials:
            while attempt.sent < len(partials):
                if not self._send(partials[attempt.sent].frames):
                    return False
                attempt.sent += 1
        if attempt.final is not None and not attempt.said:
            if not self._send(attempt.final):
                return False
            attempt.said = True
        if attempt.timed < 0 and (partials or attempt.final is not None):
            self._set(attempt, now)
        return True

    def _say_progress(self, attempt: Attempt, now: float) -> bool:
        part, number = attempt.key
        frames = encode_agent_message("progress", part=part, attempt=number, value=attempt.progress)
        if not self.open or not self._send(frames):
            return False
        attempt.progress = None
        attempt.progressed = now
        self._progress.pop(attempt, None)
        return True

    def _set(self, attempt: Attempt, now: float) -> None:
        attempt.timed = attempt.level
        attempt.again = now + self.pause * 2**attempt.level
        self._timers[attempt.timed][attempt] = None

    def _clear(self, attempt: Attempt) -> None:
        if attempt.timed >= 0:
            del self._timers[attempt.timed][attempt]
            attempt.timed = -1
