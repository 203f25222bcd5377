# -*- test-case-name: tests.broker.test_contents -*-
"""
Headers and payloads that are not in memory: read when an agent is given the
job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jobroute.errors import NoSuchJob
from jobroute.interfaces import IStorage
from jobroute.log import Logger
from jobroute.model import Content

#: How many are read at a time: so many deliveries keep a turn short.
BATCH = 50

_Asked = tuple[Callable[[Content], None], Callable[[Failure], None]]


@define(eq=False, repr=False)
class Contents:
    """
    Reads many at a time: what is asked for while a read is under way goes
    with the next one.
    """

    _log = Logger()

    _storage: IStorage
    _asked: dict[int, list[_Asked]] = field(factory=dict, init=False)
    _reading: bool = field(default=False, init=False)
    _looping: bool = field(default=False, init=False)
    _alone: int = field(default=0, init=False)

    def fetch(
        self, job: int, found: Callable[[Content], None], failed: Callable[[Failure], None]
    ) -> None:
        """
        Read a job's header and payload, and call one of these.
        """
        self._asked.setdefault(job, []).append((found, failed))
        if not self._reading:
            self._read()

    def _read(self) -> None:
        if self._looping:
            return
        self._looping = True
        while self._asked and not self._reading:
            count = 1 if self._alone else BATCH
            self._alone = max(0, self._alone - 1)
            jobs = list(islice(self._asked, count))
            self._reading = True
            content: Deferred[dict[int, Content]] = self._storage.contents(jobs)
            content.addCallbacks(self._found, self._failed, (jobs,), {}, (jobs,), {})
            content.addErrback(lambda f: self._log.failure("A delivery failed.", f))
            content.addCallback(lambda _: self._next())
        self._looping = False

    def _next(self) -> None:
        self._reading = False
        # Does nothing if the storage answered at once: the loop goes on.
        self._read()

    def _found(self, contents: dict[int, Content], jobs: Sequence[int]) -> None:
        for job in jobs:
            content = contents.get(job)
            for found, failed in self._asked.pop(job):
                try:
                    if content is None:
                        failed(Failure(NoSuchJob(f"No job has the number {job}.")))
                    else:
                        found(content)
                except Exception:
                    self._log.failure("A delivery failed.")

    def _failed(self, failure: Failure, jobs: Sequence[int]) -> None:
        if len(jobs) > 1:
            # One of them may be damaged: that is no harm to the others.
            self._alone = len(self._asked)
            return
        for _, failed in self._asked.pop(jobs[0]):
            failed(failure)
