# -*- test-case-name: tests.client.test_executor -*-
"""
The client as one of Python's own executors.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from types import TracebackType
from typing import Any

from jobroute.client.asynchronous import AsyncClient
from jobroute.client.outcomes import Outcome
from jobroute.errors import BadProperty


class Executor(concurrent.futures.Executor):
    """
    Agents as an executor: what it is given is not a function but the name of
    a service, since no code is sent.  Each future has the
    L{Outcome} of its job, or the error why there is none:
    L{jobroute.errors.JobFailed} if the job did not succeed.

    Cancelling a future cancels its job, running or not.  When a C{with} ends
    with an exception, everything that is under way is cancelled.

    @param url: as for L{jobroute.client.Client}, and so are C{namespace},
        C{name} and C{timeout}.
    @param durable: submit the jobs and wait for them, rather than call: they
        survive a restart of the broker.
    @param window: how many jobs L{map} has under way.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "default",
        name: str | None = None,
        timeout: float = 30.0,
        durable: bool = False,
        window: int = 100,
    ) -> None:
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise BadProperty(f"window must be a positive whole number, not {window!r}.")
        self._client = AsyncClient(url, namespace=namespace, name=name, timeout=timeout)
        self._durable = durable
        self._window = window
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._futures: set[Future[Outcome]] = set()
        self._closed = False

    def submit(  # type: ignore[override]
        self, fn: str, /, *args: bytes, **kwargs: Any
    ) -> Future[Outcome]:
        """
        Have a job done.

        @param fn: the name of a service.
        @param args: the frames of the payload.
        @param kwargs: as for L{jobroute.client.Client.call}.
        @raise TypeError: if C{fn} is no name.
        @raise RuntimeError: if the executor was shut down.
        """
        if not isinstance(fn, str):
            raise TypeError(
                f"An executor is given the name of a service, not {fn!r:.60}: no code is sent."
            )
        with self._lock:
            if self._closed:
                raise RuntimeError("The executor was shut down.")
            if self._loop is None:
                self._start()
            assert self._loop is not None
            work = self._perform(fn, args, kwargs)
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def map(  # type: ignore[override]
        self,
        fn: str,
        *iterables: Iterable[bytes],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Outcome]:
        """
        Have a job done for each item of the iterables, side by side its
        frames.  No more than C{window} jobs are under way at a time.

        @param timeout: how many seconds all may take from now on.
        @param chunksize: has no effect, as with threads.
        @return: the outcomes, in order.  If it is left early, what is under
            way is cancelled.
        """
        deadline = None if timeout is None else self._client.clock.monotonic() + timeout
        outcomes = self._map(fn, zip(*iterables, strict=False), deadline)
        # Begun, so that it cancels what is under way also if nothing is taken.
        next(outcomes)
        return outcomes  # type: ignore[return-value]

    def _map(
        self, service: str, payloads: Iterator[tuple[bytes, ...]], deadline: float | None
    ) -> Iterator[Outcome | None]:
        waiting: deque[Future[Outcome]] = deque()
        try:
            waiting.extend(self.submit(service, *p) for p in islice(payloads, self._window))
            yield None
            while waiting:
                left = None
                if deadline is not None:
                    left = deadline - self._client.clock.monotonic()
                outcome = waiting[0].result(left)
                waiting.popleft()
                waiting.extend(self.submit(service, *p) for p in islice(payloads, 1))
                yield outcome
        finally:
            for future in waiting:
                future.cancel()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Take nothing more; end when everything is done.  May be called again.
        """
        with self._lock:
            closing, self._closed = not self._closed, True
            futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if self._loop is None or self._thread is None:
            return
        if closing:
            asyncio.run_coroutine_threadsafe(self._finish(futures), self._loop)
        if wait:
            self._thread.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """
        The C{with} is over.
        """
        self.shutdown(wait=True, cancel_futures=kind is not None)
        return None

    # -- In the thread

    def _start(self) -> None:
        loop = self._loop = asyncio.new_event_loop()

        def serve() -> None:
            try:
                loop.run_forever()
            finally:
                loop.close()

        # A program that forgets to shut it down may end all the same.
        self._thread = threading.Thread(target=serve, name="jobroute-executor", daemon=True)
        self._thread.start()

    async def _perform(
        self, service: str, payload: tuple[bytes, ...], options: dict[str, Any]
    ) -> Outcome:
        if not self._durable:
            return (await self._client.call(service, *payload, **options)).check()
        submitting = asyncio.ensure_future(self._client.submit(service, *payload, **options))
        try:
            submitted = await asyncio.shield(submitting)
            return (await self._client.wait(submitted.job)).check()
        except asyncio.CancelledError:
            # Also if it is not known yet under which id it was accepted.
            await self._client.cancel((await submitting).job)
            raise

    async def _finish(self, futures: list[Future[Outcome]]) -> None:
        wrapped = [asyncio.wrap_future(future) for future in futures]
        await asyncio.gather(*wrapped, return_exceptions=True)
        # Cancels that were just asked for.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()
        asyncio.get_running_loop().stop()
