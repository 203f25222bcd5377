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
from jobroute.errors import JobrouteError
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
    _payload: list[bytes] = field(factory=list, init=False)
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
        self._payload.extend(frames)
        self._places.append(chosen)

    def request(self) -> Request[Many] | Many:
        """
        The request, or what became of the jobs if there is nothing to send.
        """
        if not self._entries:
            return [place for place in self._places if isinstance(place, JobrouteError)]
        properties = {**self.whose, "jobs": [msgspec.Raw(entry) for entry in self._entries]}
        payload = (b"".join(self._payload),) if self._payload else ()
        return Request(
            "SUBMIT_MANY",
            properties,
            self._read,
            payload,
            timeout=self.timeout,
            retry=self.retry,
        )

    def _read(self, value: Any, frames: Frames) -> Many:
        said = iter(read_submitted_many(value, len(self._entries)))
        done: Many = []
        for place in self._places:
            if isinstance(place, JobrouteError):
                done.append(place)
                continue
            each = next(said)
            if isinstance(each, tuple):
                done.append(refusal(*each))
            else:
                # A random id is there before only because it was sent again.
                done.append(each if place else attrs.evolve(each, existing=False))
        return done
