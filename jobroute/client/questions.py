# -*- test-case-name: tests.client.test_asking -*-
"""
The requests about what the broker knows already.
"""

from __future__ import annotations

import os
from typing import Any

from attrs import define, evolve

from jobroute import config
from jobroute.client import checks, reading
from jobroute.client.outcomes import Page, PartOutcome, Submitted
from jobroute.client.request import Again, Request
from jobroute.errors import BadProperty
from jobroute.model import Frames, Verdict


def broker_url(url: str | None) -> str:
    """
    Where the broker is, if that was not said: C{$JOBROUTE_BROKER}, else the
    frontend in the default data directory.
    """
    if url is not None:
        return url
    return os.environ.get("JOBROUTE_BROKER") or config.frontend_url(config.default_data_dir())


@define(eq=False)
class Questions:
    """
    Makes requests.

    @ivar namespace: of all jobs.
    @ivar name: of the client, if it has one.
    @ivar timeout: the client's.
    """

    namespace: str
    name: str | None
    timeout: float

    def __attrs_post_init__(self) -> None:
        checks.name("namespace", self.namespace)
        if self.name is not None:
            checks.name("name", self.name)
        if checks.duration("timeout", self.timeout) is None:
            raise BadProperty("timeout must be a number of seconds, not None.")

    def ping(self, *, agents: bool) -> Request[dict[str, Any]]:
        """
        C{PING}.
        """
        return Request("PING", {"agents": bool(agents)}, reading.read_dict)

    def agents(self) -> Request[dict[str, Any]]:
        """
        C{LIST}.
        """
        return Request("LIST", {}, reading.read_dict)

    def stats(self) -> Request[dict[str, Any]]:
        """
        C{STATS}.
        """
        return Request("STATS", {}, reading.read_dict)

    def result(self, job: str, index: int) -> Request[PartOutcome]:
        """
        C{RESULT}.
        """
        properties = {**self._job(job), "index": checks.whole("index", index, 0)}
        return Request("RESULT", properties, reading.read_part)

    def cancel(self, job: str, index: int | None) -> Request[int]:
        """
        C{CANCEL}.
        """
        properties = self._job(job)
        if index is not None:
            properties["index"] = checks.whole("index", index, 0)
        return Request("CANCEL", properties, reading.read_cancelling)

    def input(self, job: str, payload: Frames, index: int) -> Request[None]:
        """
        C{INPUT}: the one that must not be sent twice.
        """
        properties = {**self._job(job), "index": checks.whole("index", index, 0)}
        frames = checks.payload(payload)
        return Request("INPUT", properties, reading.read_nothing, frames, again=Again.NEVER)

    def jobs(
        self,
        service: str | None,
        client: str | None,
        state: str | None,
        verdict: str | None,
        limit: int,
        before: Any,
    ) -> Request[Page]:
        """
        C{JOBS}.
        """
        properties: dict[str, Any] = {
            "namespace": self.namespace,
            "limit": checks.whole("limit", limit, 1),
        }
        if service is not None:
            properties["service"] = checks.name("service", service)
        if client is not None:
            properties["client"] = checks.name("client", client)
        if state is not None:
            properties["state"] = checks.one_of("state", state, ("open", "ended"))
        if verdict is not None:
            known = tuple(verdict.value for verdict in Verdict)
            properties["verdict"] = checks.one_of("verdict", verdict, known)
        if before is not None:
            properties["before"] = before
        return Request("JOBS", properties, reading.read_page)

    def job(self, job: str) -> Request[dict[str, Any]]:
        """
        C{JOB}.
        """
        return Request("JOB", self._job(job), reading.read_dict)

    def why(self, job: str) -> Request[list[dict[str, Any]]]:
        """
        C{WHY}.
        """
        return Request("WHY", self._job(job), reading.read_why)

    def drain(self, agent: str) -> Request[dict[str, Any]]:
        """
        C{DRAIN}.
        """
        return Request("DRAIN", {"agent": checks.name("agent", agent)}, reading.read_dict)

    def pause(self, service: str) -> Request[dict[str, Any]]:
        """
        C{PAUSE}.
        """
        return Request("PAUSE", {"service": checks.name("service", service)}, reading.read_dict)

    def resume(self, agent: str | None, service: str | None) -> Request[dict[str, Any]]:
        """
        C{RESUME}.
        """
        if (agent is None) == (service is None):
            raise BadProperty("Either an agent or a service is to go on: name one of them.")
        what, name = ("agent", agent) if service is None else ("service", service)
        return Request("RESUME", {what: checks.name(what, name)}, reading.read_dict)

    def again(
        self,
        command: str,
        job: str,
        new: str | None,
        random_id: str,
        timeout: float | None,
        **which: bool,
    ) -> Request[Submitted]:
        """
        C{RETRY} or C{QUARANTINE_RETRY}, always with an id, so that it may be
        sent again.
        """

        def decode(value: Any, frames: Frames) -> Submitted:
            said = reading.read_submitted(value, frames)
            # A random id is there before only because it was sent again.
            return said if new is not None else evolve(said, existing=False)

        properties = {
            **self._whose(),
            **self._job(job),
            "new": random_id if new is None else checks.name("new", new),
            **{name: True for name, wanted in which.items() if wanted},
        }
        return Request(command, properties, decode, timeout=checks.duration("timeout", timeout))

    def quarantine(self, service: str | None, limit: int, before: Any) -> Request[dict[str, Any]]:
        """
        C{QUARANTINE}.
        """
        properties: dict[str, Any] = {
            "namespace": self.namespace,
            "limit": checks.whole("limit", limit, 1),
        }
        if service is not None:
            properties["service"] = checks.name("service", service)
        if before is not None:
            properties["before"] = before
        return Request("QUARANTINE", properties, reading.read_dict)

    def quarantine_drop(self, job: str, index: int | None) -> Request[int]:
        """
        C{QUARANTINE_DROP}.
        """
        properties = self._job(job)
        if index is not None:
            properties["index"] = checks.whole("index", index, 0)
        return Request("QUARANTINE_DROP", properties, reading.read_dropped)

    def _whose(self) -> dict[str, Any]:
        whose = {"namespace": self.namespace}
        if self.name is not None:
            whose["client"] = self.name
        return whose

    def _job(self, job: str) -> dict[str, Any]:
        return {"job": checks.name("job", job), "namespace": self.namespace}
