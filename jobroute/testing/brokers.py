# -*- test-case-name: tests.simulation.test_simulation -*-
"""
The real broker in a simulated process.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.python.failure import Failure

from jobroute.config import Settings, load
from jobroute.lock import DataDirectory
from jobroute.service import BrokerService
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


def settings() -> Settings:
    """
    Of a broker in a hurry, since its world has no time.
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


@define(eq=False)
class SimulatedBroker(Process):
    """
    The broker in all its lives, with the disk that outlives them.

    @ivar service: the real one.
    @ivar serving: whether clients are served.
    """

    disk: SimulatedDisk = field(kw_only=True)
    settings: Settings = field(factory=settings, kw_only=True)
    service: BrokerService | None = field(default=None, init=False)
    serving: bool = field(default=False, init=False)

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()
        overheard = Overheard(self.settings, self.note)
        service = self.service = BrokerService(
            self.settings,
            self.reactor,
            network=TappedNetwork(self.host, overheard.tell),
            clock=self.clock,
            storage=self.disk,
            directory=NoDirectory(""),
            random=self.random,
        )
        service.whenReady().addCallbacks(self._ready, self._unready)
        service.startService()

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

    def _ready(self, _: None) -> None:
        assert self.service is not None
        self.serving = True
        self.note("ready", epoch=self.service.broker.agents.epoch)
        life = self.life

        def ended(failure: Failure) -> None:
            # By itself, since its storage was lost.
            if self.life == life:
                self.serving = False
                self.note("unready", reason=str(failure.value))

        self.service.whenStopped().addErrback(ended)

    def _unready(self, failure: Failure) -> None:
        self.note("unready", reason=str(failure.value))
