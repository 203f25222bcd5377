# -*- test-case-name: tests.torture.test_torture -*-
"""
The broker of a torture: the one of C{twistd jobroute}, on a network that
tells what is said on it.
"""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny
from zope.interface import implementer

from jobroute import tap
from jobroute.interfaces import IObserver
from jobroute.model import Event
from jobroute.service import BrokerService
from jobroute.testing.history import Note
from jobroute.testing.overheard import Overheard
from jobroute.testing.tap import TappedNetwork
from jobroute.testing.torture.orders import Child, begin

#: Named and not imported: importing it installs a reactor.
_NETWORK = "jobroute.zeromq.network.TxNetwork"


@implementer(IObserver)
@define(eq=False)
class Watcher:
    """
    Notes what the broker publishes, and how many jobs are open.
    """

    _note: Note
    service: BrokerService | None = None

    def observed(self, event: Event) -> None:
        """
        See L{IObserver.observed}.
        """
        assert self.service is not None
        said: dict[str, Any] = {"number": event.number, "kind": event.kind}
        if event.kind == "job.accepted":
            said["number_of_job"] = event.job
        if event.part is not None:
            said.update(part=event.part, attempt=event.attempt)
        if event.data and "verdict" in event.data:
            said["verdict"] = event.data["verdict"]
        self._note("event", **said, open=len(self.service.broker.verdicts.jobs))


def run(child: Child) -> None:
    """
    Be a broker until it is over.
    """
    place, reactor, note = child.orders.place, child.reactor, child.note
    options = tap.Options()  # type: ignore[no-untyped-call]
    options.parseOptions(["--config", str(place.config), "--data-dir", str(place.data)])  # type: ignore[no-untyped-call]
    settings = options.settings
    watcher = Watcher(note)
    network = namedAny(_NETWORK)(reactor, settings.io_threads)
    service: Any = tap.makeService(
        options,
        reactor,
        network=TappedNetwork(network, Overheard(settings, note).tell),
        observers=(watcher,),
    )
    watcher.service = service

    def ready(_: None) -> None:
        note("ready", epoch=service.broker.agents.epoch)

    def unready(failure: Failure) -> None:
        note("unready", reason=str(failure.value))

    service.whenReady().addCallbacks(ready, unready)
    service.privilegedStartService()
    service.startService()

    def stop() -> Any:
        return service.stopService().addBoth(lambda _: network.close())

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()


if __name__ == "__main__":
    run(begin())
