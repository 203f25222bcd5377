# -*- test-case-name: tests.client.test_asking -*-
"""
From the arguments of a client's methods to requests: checked, so that what is
wrong is said here, and at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from random import Random
from typing import Any

import attrs
import msgspec
from attrs import define

from jobroute.client import checks, reading
from jobroute.client.batches import Batch, Many
from jobroute.client.mapping import Mapping
from jobroute.client.outcomes import Outcome, Partial, PartOutcome, Progress, Submitted
from jobroute.client.questions import Questions
from jobroute.client.request import Again, Request, Streams
from jobroute.client.specs import JobSpec
from jobroute.errors import BadProperty, JobrouteError, TooLarge
from jobroute.interfaces import IClock
from jobroute.model import Frames

_encode = msgspec.json.Encoder().encode

#: Told of progress, partial results, and parts.
Callbacks = tuple[
    Callable[[Progress], object] | None,
    Callable[[Partial], object] | None,
    Callable[[PartOutcome], object] | None,
]

#: What each of them asks for.
_STREAMS = ("progress", "partial", "part")

_SPEC = tuple(attribute.name for attribute in attrs.fields(JobSpec))


@define(eq=False)
class Asking(Questions):
    """
    Makes all requests: the questions, and those about jobs to be done.

    @ivar random: for ids and tokens.
    """

    random: Random
    clock: IClock

    # -- Jobs ---------------------------------------------------------------

    def submit(self, spec: JobSpec, *, timeout: float | None, retry: bool) -> Request[Submitted]:
        """
        C{SUBMIT}, always with an id, so that it may be sent again.
        """
        properties = {**self._whose(), **self._properties(spec)}
        chosen = spec.job is not None

        def decode(value: Any, frames: Frames) -> Submitted:
            said = reading.read_submitted(value, frames)
            # A random id is there before only because it was sent again.
            return said if chosen else attrs.evolve(said, existing=False)

        timeout = checks.duration("timeout", timeout)
        return Request(
            "SUBMIT",
            properties,
            decode,
            checks.payload(spec.payload),
            timeout=timeout,
            retry=(timeout or self.timeout) if retry else None,
        )

    def submit_many(
        self,
        jobs: Iterable[JobSpec | dict[str, Any]],
        common: JobSpec,
        *,
        timeout: float | None,
        retry: bool,
    ) -> Iterator[Request[Many] | Many]:
        """
        As many C{SUBMIT_MANY} as the jobs need, made as they are asked for;
        and errors, where all jobs are wrong.
        """
        timeout = checks.duration("timeout", timeout)
        patience = (timeout or self.timeout) if retry else None
        whose = self._whose()
        base = len(_encode(whose)) + 200
        batch = Batch(whose, base, timeout, patience)
        for each in jobs:
            try:
                spec = self._spec(each, common)
                frames = checks.payload(spec.payload)
                properties = self._properties(spec)
                if frames:
                    properties["frames"] = [len(frame) for frame in frames]
                entry = _encode(properties)
                if base + len(entry) > checks.MOST_HEADER:
                    raise TooLarge(
                        f"The job's properties have {len(entry)} bytes, too many for a message."
                    )
            except JobrouteError as e:
                batch.wrong(e)
                continue
            if not batch.has_room(len(entry), sum(map(len, frames))):
                yield batch.request()
                batch = Batch(whose, base, timeout, patience)
            batch.add(entry, frames, spec.job is not None)
        yield batch.request()

    def _spec(self, job: JobSpec | dict[str, Any], common: JobSpec) -> JobSpec:
        if isinstance(job, JobSpec):
            return job
        if not isinstance(job, dict):
            raise BadProperty(f"A job must be a JobSpec or a dictionary, not {job!r:.60}.")
        for key in job:
            if key not in _SPEC:
                raise BadProperty(f"A job has no {key!r}; it has {', '.join(_SPEC)}.")
        return attrs.evolve(common, **job)

    def call(
        self,
        spec: JobSpec,
        callbacks: Callbacks = (None, None, None),
        *,
        timeout: float | None,
        retry: bool,
    ) -> Request[Outcome]:
        """
        C{CALL}, always with a token, so that it can be found again.
        """
        properties = {**self._whose(), **self._properties(spec)}
        del properties["job"]
        _, single = checks.target(spec.target)
        timeout = checks.duration("timeout", timeout)
        token = f"{self.random.getrandbits(128):032x}"
        streams = _streams(callbacks, parts=not single)
        streams.kept = False
        properties["token"] = token
        if streams.wanted:
            properties["stream"] = streams.wanted
        return Request(
            "CALL",
            properties,
            streams.outcome,
            checks.payload(spec.payload),
            again=Again.WAIT,
            waits=True,
            timeout=timeout,
            retry=(timeout or spec.deadline or self.timeout) if retry else None,
            token=token,
            undo={"token": token},
            streams=streams,
        )

    def wait(
        self,
        job: str,
        callbacks: Callbacks = (None, None, None),
        *,
        timeout: float | None,
        parts: bool = False,
    ) -> Request[Outcome]:
        """
        C{WAIT}.

        @param parts: ask for each part with its result, since they may be
            too large together.
        """
        streams = _streams(callbacks, parts)
        properties = self._job(job)
        if streams.wanted:
            properties["stream"] = streams.wanted
        return Request(
            "WAIT",
            properties,
            streams.outcome,
            waits=True,
            timeout=checks.duration("timeout", timeout),
            streams=streams,
        )

    def map(
        self,
        template: JobSpec,
        payloads: Iterable[Any],
        window: int,
        ordered: bool,
        progress: Callable[[int, int | None], object] | None,
        durable: bool,
        *,
        timeout: float | None,
        retry: bool,
    ) -> Mapping:
        """
        A job for each payload.
        """
        checks.whole("window", window, 1, 10_000)
        checks.duration("timeout", timeout)
        self._properties(template)
        _, single = checks.target(template.target)

        def call(payload: Any) -> Request[Outcome]:
            spec = attrs.evolve(template, payload=payload)
            return self.call(spec, timeout=timeout, retry=retry)

        def submit(payload: Any) -> Request[Submitted]:
            spec = attrs.evolve(template, payload=payload, job=self.new_id())
            request = self.submit(spec, timeout=None, retry=retry)
            request.undo = self._job(request.properties["job"])
            return request

        def wait(submitted: Submitted) -> Request[Outcome]:
            request = self.wait(submitted.job, timeout=timeout, parts=not single)
            request.undo = self._job(submitted.job)
            return request

        return Mapping(
            iter(payloads),
            len(payloads) if isinstance(payloads, Sized) else None,
            submit if durable else call,
            wait if durable else None,
            window,
            ordered,
            progress,
        )

    def new_id(self) -> str:
        """
        A random id, greater than those made in earlier milliseconds.
        """
        milliseconds = int(self.clock.wall() * 1000)
        return f"{milliseconds & 0xFFFFFFFFFFF:011x}{self.random.getrandbits(64):016x}"

    # -- Properties ---------------------------------------------------------

    def _properties(self, spec: JobSpec) -> dict[str, Any]:
        """
        What is said of a job; what has its default is left out.
        """
        properties: dict[str, Any] = {
            "service": checks.name("service", spec.service),
            "job": self.new_id() if spec.job is None else checks.name("job", spec.job),
        }
        target, _ = checks.target(spec.target)
        if target != "any":
            properties["target"] = target
        if spec.header is not None:
            properties["header"] = checks.header(spec.header)
        if checks.whole("priority", spec.priority, -1000, 1000):
            properties["priority"] = spec.priority
        if checks.whole("attempts", spec.attempts, 1) != 1:
            properties["attempts"] = spec.attempts
        if spec.retries is not None:
            properties["retry"] = checks.retries(spec.retries)
        if spec.max_lost is not None:
            properties["max_lost"] = checks.whole("max_lost", spec.max_lost, 1, 1000)
        for limit in ("queue_limit", "run_limit", "deadline"):
            seconds = checks.duration(limit, getattr(spec, limit))
            if seconds is not None:
                properties[limit] = seconds
        return properties


def _streams(given: Callbacks, parts: bool) -> Streams:
    callbacks: dict[str, Callable[[Any], object]] = {}
    for kind, callback in zip(_STREAMS, given, strict=True):
        if callback is not None:
            if not callable(callback):
                raise BadProperty(f"on_{kind} must be callable, not {callback!r:.60}.")
            callbacks[kind] = callback
    wanted = [kind for kind in _STREAMS if kind in callbacks or (parts and kind == "part")]
    return Streams(wanted, callbacks)
