# -*- test-case-name: tests.simulation.test_simulation -*-
"""
The real broker in a simulated process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.config import Settings, load
from jobroute.interfaces import IObserver
from jobroute.lock import DataDirectory
from jobroute.model import Event
from jobroute.service import BrokerService
from jobroute.testing.clock import SimulatedReactor
from jobroute.testing.disk import SimulatedDisk
from jobroute.testing.overheard import Overheard
from jobroute.testing.processes import Process
from jobroute.testing.tap import TappedNetwork

#: Seconds between two beats, and how many make a lease.
INTERVAL = 0.4
LIVENESS = 3
LEASE = INTERVAL * LIVENESS

#: Seconds in which agents come back; not shorter than a lease.
GRACE = 2.5

#: Seconds until a job expires that says nothing of it.
DEADLINE = 40.0


def settings(limits: dict[str, int] | None = None) -> Settings:
    """
    Of a broker in a hurry, since its world has no time.

    @param limits: those that are not as always.
    """
    return load(
        {"data_dir": "/nonexistent", "tcp": "127.0.0.1:7780"},
        {
            "heartbeat_interval": INTERVAL,
            "liveness": LIVENESS,
            "grace": GRACE,
            "registration_timeout": 5.0,
            "drain": 1.0,
            "deadline": DEADLINE,
            "limits": limits or {},
        },
    )


class NoDirectory(DataDirectory):
    """
    A data directory that is nowhere: there is only one broker in a world.
    """

    def acquire(self) -> None:
        """
        Nobody else wants it.
        """

    def adopt(self, path: str) -> None:
        """
        There are no files.
        """

    def sign(self, pid: int) -> None:
        """
        There is no lock.
        """

    def release(self) -> None:
        """
        Nobody waits for it.
        """


@implementer(IObserver)
@define(eq=False)
class Witness:
    """
    Notes every event that a life of the broker tells.
    """

    _process: Process
    _reactor: SimulatedReactor

    def observed(self, event: Event) -> None:
        """
        See L{IObserver.observed}.
        """
        if not self._reactor.alive:
            return
        said: dict[str, Any] = {"number": event.number, "kind": event.kind}
        if event.part is not None:
            said.update(part=event.part, attempt=event.attempt)
        if event.kind == "job.accepted":
            said["number_of_job"] = event.job
        self._process.note("event", **said)


@define(eq=False)
class SimulatedBroker(Process):
    """
    The broker in all its lives, with the disk that outlives them.

    @ivar service: the real one.
    @ivar serving: whether clients are served.
    @ivar overheard: what clients asked lately, as it came.
    """

    disk: SimulatedDisk = field(kw_only=True)
    settings: Settings = field(factory=settings, kw_only=True)
    service: BrokerService | None = field(default=None, init=False)
    serving: bool = field(default=False, init=False)
    # Messages from or to agents that are to vanish: whether it is received,
    # what it is, and who is told.
    _drops: list[tuple[bool, bytes, Callable[[], object]]] = field(factory=list, init=False)
    overheard: deque[list[bytes]] = field(factory=lambda: deque(maxlen=20), init=False)
    _agents_sockets: tuple[str, ...] = field(init=False)
    _frontend: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.disk.instruction = self.instruction
        endpoints = self.settings.endpoints
        self._frontend = endpoints["frontend"]
        self._agents_sockets = (endpoints["backend"], endpoints["register"])

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()
        overheard = Overheard(self.settings, self.note)
        service = self.service = BrokerService(
            self.settings,
            self.reactor,
            network=TappedNetwork(self.host, overheard.tell, self._passes),
            clock=self.clock,
            storage=self.disk,
            directory=NoDirectory(""),
            random=self.random,
            observers=(Witness(self, self.reactor),),
        )
        service.whenReady().addCallbacks(self._ready, self._unready, (self.life,), {}, (), {})
        service.startService()

    def _passes(self, address: str, received: bool, frames: Sequence[bytes]) -> bool:
        reactor = self.reactor
        self.instruction()
        if not reactor.alive:
            return False
        if self._drops and address in self._agents_sockets and len(frames) > 1:
            for drop in self._drops:
                which, kind, told = drop
                if which == received and kind in frames[1]:
                    self._drops.remove(drop)
                    told()
                    self.note("dropped", received=received, message=kind[11:].decode())
                    return False
        if received and address == self._frontend:
            self.overheard.append(list(frames[1:]))
        return True

    def drop(self, received: bool, kind: str, told: Callable[[], object]) -> None:
        """
        Let the next message of a kind from or to an agent vanish.
        """
        if len(self._drops) < 3:
            self._drops.append((received, b'"message":"%s' % kind.encode(), told))

    def spare(self) -> None:
        """
        Let no message vanish any more.
        """
        self._drops.clear()

    def crash(self, **said: Any) -> None:
        """
        Die, and lose what is not on disk.
        """
        lost = len(self.disk.pending)
        super().crash(lost=lost, **said)
        self.disk.lose()

    def stop(self) -> None:
        """
        End in order.
        """
        assert self.service is not None
        self.serving = False
        self.stopping = True
        self.note("stopping")
        life = self.life

        def stopped(_: object) -> None:
            if self.up and self.life == life:
                self.note("left")
                self.end()

        self.service.stopService().addBoth(stopped)

    def end(self) -> None:
        """
        Be no more.
        """
        super().end()
        self.serving = False
        self.graveyard.append(self.service)
        self.service = None

    def _ready(self, _: None, life: int) -> None:
        if self.service is None or self.life != life:
            # It died in the middle of this.
            return
        self.serving = True
        self.note("ready", epoch=self.service.broker.agents.epoch)

        def ended(failure: Failure) -> None:
            # By itself, since its storage was lost.
            if self.up and self.life == life:
                if self.disk.lost:
                    self.note("left", reason=str(failure.value))
                else:
                    self.note("unready", reason=str(failure.value))
                self.end()

        self.service.whenStopped().addErrback(ended)

    def _unready(self, failure: Failure) -> None:
        self.note("unready", reason=str(failure.value))
