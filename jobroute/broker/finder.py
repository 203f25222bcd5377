# -*- test-case-name: tests.broker.test_commands -*-
"""
Jobs by id, wherever they are.
"""

from __future__ import annotations

from attrs import define
from twisted.internet.defer import Deferred

from jobroute.errors import NoSuchJob
from jobroute.interfaces import IStorage
from jobroute.model import JobRecord


@define(eq=False, repr=False)
class Finder:
    """
    Asks the store for jobs that are not in memory.
    """

    _storage: IStorage

    def stored(self, namespace: str, id: str) -> Deferred[JobRecord]:
        """
        The record of a job.

        @return: fails with L{NoSuchJob}.
        """

        def found(records: dict[str, JobRecord]) -> JobRecord:
            if id not in records:
                raise NoSuchJob(
                    f"There is no job {id} in namespace {namespace}, or it is past its retention."
                )
            return records[id]

        return self._storage.find(namespace, [id]).addCallback(found)
