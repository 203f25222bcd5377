# -*- test-case-name: tests.client.test_faces -*-
"""
The methods of a client, written once for all its faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from attrs import define

from jobroute.client.batches import Many
from jobroute.client.mapping import Mapping
from jobroute.client.outcomes import Outcome, Page, Partial, PartOutcome, Progress, Submitted
from jobroute.client.parts import Parts
from jobroute.client.request import Request
from jobroute.client.resubmitting import Resubmitting
from jobroute.client.specs import Header, JobSpec, Payload, RetriesLike, TargetLike, job_spec
from jobroute.errors import JobrouteError

T = TypeVar("T")


@define(eq=False)
class Methods(Resubmitting):
    """
    What a client can do, as coroutines; a face says how they are run and
    what waiting is.
    """

    async def ping(self, *, agents: bool = True) -> dict[str, Any]:
        """
        Ask the broker for a sign of life.

        @param agents: whether the answer lists the agents.
        @return: C{pid}, C{version}, C{protocol}, C{epoch}, C{endpoints} and
            perhaps C{agents}.
        @raise BrokerLost: if it does not answer.
        """
        return await self._ask(self._asking.ping(agents=agents))

    async def agents(self) -> dict[str, Any]:
        """
        All agents, by name.
        """
        return await self._ask(self._asking.agents())

    async def stats(self) -> dict[str, Any]:
        """
        Every counter of the broker, and the sizes of its queues.
        """
        return await self._ask(self._asking.stats())

    async def submit(
        self,
        service: str,
        *payload: bytes,
        target: TargetLike = "any",
        job: str | None = None,
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        retries: RetriesLike = None,
        max_lost: int | None = None,
        timeout: float | None = None,
        retry: bool = False,
    ) -> Submitted:
        """
        Hand in a job, and return when it is on disk.

        It may be sent several times until it is answered; it is one job all
        the same, since it has an id.

        @param payload: the frames of the payload.
        @param target: C{"any"}, C{"all"}, a list of agents' names, a number
            of agents, or as in the protocol.
        @param job: the job's id; random, and greater than earlier ones, if
            it is L{None}.
        @param header: any JSON value.
        @param priority: from -1000 to 1000.
        @param attempts: how often at most it is given to an agent.
        @param queue_limit: how many seconds a part may wait in the queue.
        @param run_limit: how many seconds one attempt may take.
        @param deadline: in how many seconds all must be over.
        @param retries: which outcomes of an attempt are worth another, and
            when: a L{jobroute.model.Retry}, or a dictionary of some of its
            attributes.
        @param max_lost: how many agents a part may cost their lives before
            it is quarantined; the broker's setting if L{None}.
        @param timeout: for how many seconds to ask, instead of the
            client's.
        @param retry: while the broker is busy, ask again, with growing
            pauses, until C{timeout} is over.
        @raise BadProperty: if an argument is wrong.
        @raise JobConflict: if there is another job of that id.
        @raise Busy: if a limit of the broker is reached.
        @raise BrokerLost: if it does not answer.  The job may or may not be
            accepted; submit it with the same id to be sure.
        """
        limits = (queue_limit, run_limit, deadline)
        spec = job_spec(
            service, payload, job, target, header, priority, attempts, limits, retries, max_lost
        )
        return await self._ask(self._asking.submit(spec, timeout=timeout, retry=retry))

    async def submit_many(
        self,
        jobs: Iterable[JobSpec | dict[str, Any]],
        *,
        service: str | None = None,
        target: TargetLike = "any",
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        retries: RetriesLike = None,
        max_lost: int | None = None,
        timeout: float | None = None,
        retry: bool = False,
    ) -> list[Submitted | JobrouteError]:
        """
        Hand in many jobs, in as few messages as there can be.

        @param jobs: each a L{JobSpec} or a dictionary of its attributes; what
            a dictionary does not say is taken from the other arguments.
        @param timeout: for each message, as in L{submit}.
        @param retry: for each message, as in L{submit}.
        @return: for each job, in order, what became of it, or the error why
            it was not accepted.
        @raise BrokerLost: if the broker stops answering.  Jobs with ids of
            your own can be handed in again.
        """
        done: Many = []
        limits = (queue_limit, run_limit, deadline)
        common = job_spec(
            service, (), None, target, header, priority, attempts, limits, retries, max_lost
        )
        for batch in self._asking.submit_many(jobs, common, timeout=timeout, retry=retry):
            some: Many = await self._ask(batch) if isinstance(batch, Request) else batch
            done.extend(some)
        return done

    async def call(
        self,
        service: str,
        *payload: bytes,
        target: TargetLike = "any",
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        retries: RetriesLike = None,
        max_lost: int | None = None,
        timeout: float | None = None,
        retry: bool = False,
        on_progress: Callable[[Progress], object] | None = None,
        on_partial: Callable[[Partial], object] | None = None,
        on_part: Callable[[PartOutcome], object] | None = None,
    ) -> Outcome:
        """
        Have a job done and wait for it, with no disk on its way.

        A job that did not succeed is an outcome too; L{Outcome.check} raises
        if it did not.  When C{timeout} is over, a callback raises, or the
        program is interrupted, the job is cancelled.

        @param timeout: how many seconds to wait; by default until the job's
            own deadline.
        @param retry: while the broker is busy, ask again, with growing
            pauses, until C{timeout}, C{deadline} or the client's timeout is
            over.
        @param on_progress: called with what the agent says of its progress.
        @param on_partial: called with each partial result, in order.
        @param on_part: called with each part that is done.
        @raise WaitTimeout: if C{timeout} is over.
        @raise UnknownOutcome: if the broker was started anew meanwhile.
        @raise BrokerLost: if the broker was silent for the client's timeout.
        """
        limits = (queue_limit, run_limit, deadline)
        spec = job_spec(
            service, payload, None, target, header, priority, attempts, limits, retries, max_lost
        )
        parts = Parts(target, on_part)
        streams = (on_progress, on_partial, parts.on_part)
        request = self._asking.call(spec, streams, timeout=timeout, retry=retry)
        return parts.complete(await self._ask(request))

    async def wait(
        self,
        job: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        on_partial: Callable[[Partial], object] | None = None,
        on_part: Callable[[PartOutcome], object] | None = None,
    ) -> Outcome:
        """
        Wait until a job is done.  It goes on by itself after a restart of
        the broker.

        @param timeout: how many seconds to wait; by default until the job's
            own deadline.
        @raise NoSuchJob: if no job has that id.
        @raise WaitTimeout: if C{timeout} is over; the job goes on.
        @raise BrokerLost: if the broker was silent for the client's timeout;
            the job goes on when it comes back.
        """
        streams = (on_progress, on_partial, on_part)
        return await self._complete(self._asking.wait(job, streams, timeout=timeout))

    async def result(self, job: str, index: int = 0) -> PartOutcome:
        """
        The result of a part that is done.

        @raise JobNotDone: if it is not.
        """
        return await self._ask(self._asking.result(job, index))

    async def cancel(self, job: str, index: int | None = None) -> int:
        """
        Cancel a job, or one part of it.

        @return: how many parts were not done yet.
        """
        return await self._ask(self._asking.cancel(job, index))

    async def input(self, job: str, *payload: bytes, index: int = 0) -> None:
        """
        Send an input to a part that an agent works on.

        @raise NotRunning: if no agent does.
        @raise UnknownOutcome: if the broker was started anew meanwhile.
        """
        await self._ask(self._asking.input(job, payload, index))

    def map(
        self,
        service: str,
        payloads: Iterable[Payload],
        *,
        window: int = 100,
        ordered: bool = True,
        progress: Callable[[int, int | None], object] | None = None,
        durable: bool = False,
        target: TargetLike = "any",
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        retries: RetriesLike = None,
        max_lost: int | None = None,
        timeout: float | None = None,
        retry: bool = True,
    ) -> Mapping:
        """
        Have a job done for each of many payloads.

        Never more than C{window} of them are under way or waiting to be
        taken.  The iterator ends with the first error that is no outcome;
        then, and when it is closed or forgotten, what is still under way is
        cancelled.

        @param payloads: each one frame or a sequence of frames.  Read as
            the work goes on.
        @param ordered: whether the outcomes come in the order of the
            payloads, or as they are done; L{Outcome.position} tells which is
            which.
        @param progress: called with how many are done, and of how many if
            C{payloads} has a length.
        @param durable: submit the jobs and wait for them, rather than call:
            they survive a restart of the broker.
        @param timeout: for each job, as in L{call}.
        @param retry: for each job, as in L{call}.
        """
        limits = (queue_limit, run_limit, deadline)
        common = job_spec(
            service, (), None, target, header, priority, attempts, limits, retries, max_lost
        )
        return self._asking.map(
            common, payloads, window, ordered, progress, durable, timeout=timeout, retry=retry
        )

    async def jobs(
        self,
        *,
        service: str | None = None,
        client: str | None = None,
        state: str | None = None,
        verdict: str | None = None,
        limit: int = 100,
        before: Any = None,
    ) -> Page:
        """
        A page of this namespace's jobs, the newest first.

        @param state: C{"open"} or C{"ended"}.
        @param before: the L{Page.next} of the page before.
        """
        return await self._ask(self._asking.jobs(service, client, state, verdict, limit, before))

    async def drain(self, agent: str) -> dict[str, Any]:
        """
        Give an agent nothing more, nor any later incarnation of it; it
        finishes what it has.

        @return: C{agent}, C{drained}, and in C{outstanding} how many parts it
            still holds.
        @raise NoSuchAgent: if no agent of that name was ever seen.
        """
        return await self._ask(self._asking.drain(agent))

    async def pause(self, service: str) -> dict[str, Any]:
        """
        Give out nothing of a service; what runs goes on.

        @return: C{service}, C{paused}, and in C{queued} how many parts wait.
        """
        return await self._ask(self._asking.pause(service))

    async def resume(
        self, *, agent: str | None = None, service: str | None = None
    ) -> dict[str, Any]:
        """
        Let an agent that was drained, or a service that was paused, go on.

        @return: as L{drain} and L{pause}.
        """
        return await self._ask(self._asking.resume(agent, service))

    async def job(self, job: str) -> dict[str, Any]:
        """
        Everything that is known of a job, with its history.
        """
        return await self._ask(self._asking.job(job))

    async def why(self, job: str) -> list[dict[str, Any]]:
        """
        For each part that is not done, what it is waiting for.
        """
        return await self._ask(self._asking.why(job))

    async def _complete(self, request: Request[Outcome]) -> Outcome:
        """
        Ask, and fetch the results that were too large for one answer.
        """
        outcome = await self._ask(request)
        for part in outcome.parts:
            if part.omitted:
                outcome = outcome.with_part(await self.result(outcome.job, part.index))
        return outcome
