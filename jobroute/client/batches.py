# -*- test-case-name: tests.client.test_asking -*-
"""
Many jobs in one message.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from attrs import define, field

from jobroute.client import checks
from jobroute.client.outcomes import Submitted
from jobroute.client.reading import read_submitted_many
from jobroute.client.refusals import refusal
from jobroute.client.request import Request
from jobroute.errors import Busy, JobrouteError
from jobroute.model import Frames

#: What became of many jobs, in order.
Many = list[Submitted | JobrouteError]


@define(eq=False)
class Batch:
    """
    The jobs of one C{SUBMIT_MANY}.

    @ivar whose: the properties that all have.
    @ivar size: of its JSON so far.
    """

    whose: dict[str, Any]
    size: int
    timeout: float | None
    retry: float | None
    #: For each job its error, or whether it is sent under an id of the user's.
    _places: list[JobrouteError | bool] = field(factory=list, init=False)
    _entries: list[bytes] = field(factory=list, init=False)
    _payload: list[Frames] = field(factory=list, init=False)
    #: What became of those that were sent, and which are still to be.
    _said: list[Submitted | JobrouteError | None] = field(factory=list, init=False)
    _open: list[int] = field(factory=list, init=False)
    _request: Request[Many] | None = field(default=None, init=False)
    _payload_size: int = field(default=0, init=False)

    def has_room(self, entry: int, payload: int) -> bool:
        """
        Whether a job fits in that has so many bytes of properties and of
        payload.
        """
        size = self.size + entry + 1
        return not self._entries or (
            len(self._entries) < checks.MOST_JOBS
            and size <= checks.MOST_HEADER
            and size + self._payload_size + payload <= checks.MOST_BYTES
        )

    def wrong(self, error: JobrouteError) -> None:
        """
        A job that is not sent.
        """
        self._places.append(error)

    def add(self, entry: bytes, frames: Frames, chosen: bool) -> None:
        """
        A job that is.

        @param chosen: whether the user chose its id.
        """
        self.size += len(entry) + 1
        self._payload_size += sum(map(len, frames))
        self._entries.append(entry)
        self._payload.append(frames)
        self._places.append(chosen)

    def request(self) -> Request[Many] | Many:
        """
        The request, or what became of the jobs if there is nothing to send.
        """
        if not self._entries:
            return [place for place in self._places if isinstance(place, JobrouteError)]
        self._open = list(range(len(self._entries)))
        self._said = [None] * len(self._entries)
        self._request = Request(
            "SUBMIT_MANY",
            {},
            self._read,
            timeout=self.timeout,
            retry=self.retry,
            rest=None if self.retry is None else self._done,
        )
        self._fill(self._request)
        return self._request

    def _fill(self, request: Request[Many]) -> None:
        """
        Let the request have the jobs that are still to be sent.
        """
        jobs = [msgspec.Raw(self._entries[place]) for place in self._open]
        payload = b"".join(frame for place in self._open for frame in self._payload[place])
        frames = any(self._payload[place] for place in self._open)
        request.properties = {**self.whose, "jobs": jobs}
        request.payload = (payload,) if frames else ()

    def _read(self, value: Any, frames: Frames) -> Many:
        """
        @raise Busy: if some were refused, and are to be sent again.
        """
        busy: dict[int, Busy] = {}
        for place, each in zip(
            self._open, read_submitted_many(value, len(self._open)), strict=True
        ):
            said = refusal(*each) if isinstance(each, tuple) else each
            self._said[place] = said
            if isinstance(said, Busy):
                busy[place] = said
        if busy and self._request is not None and self.retry is not None:
            self._open = list(busy)
            self._fill(self._request)
            raise max(busy.values(), key=lambda error: error.retry_after or 0.0)
        return self._done()

    def _done(self) -> Many:
        said = iter(self._said)
        done: Many = []
        for place in self._places:
            if isinstance(place, JobrouteError):
                done.append(place)
                continue
            each = next(said)
            assert each is not None
            if isinstance(each, Submitted) and not place:
                # A random id is there before only because it was sent again.
                each = attrs.evolve(each, existing=False)
            done.append(each)
        return done
