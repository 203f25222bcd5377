"""
Clients of the broker: L{Client} for scripts, L{TwistedClient} for programs in
a reactor, L{AsyncClient} for asyncio.  All have the same methods.  And
L{Executor} is one of Python's own executors.
"""

from jobroute.client.asynchronous import AsyncClient
from jobroute.client.blocking import Client
from jobroute.client.deferred import TwistedClient
from jobroute.client.executor import Executor
from jobroute.client.outcomes import (
    JobLine,
    Outcome,
    Page,
    Partial,
    PartOutcome,
    Progress,
    Submitted,
)
from jobroute.client.specs import JobSpec

__all__ = [
    "AsyncClient",
    "Client",
    "Executor",
    "JobLine",
    "JobSpec",
    "Outcome",
    "Page",
    "PartOutcome",
    "Partial",
    "Progress",
    "Submitted",
    "TwistedClient",
]
