# -*- test-case-name: tests.torture.test_torture -*-
"""
A client of a torture: asks as the clients of the simulation do, and when the
trouble is over for every job that it ever handed in.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.reflect import namedAny

from jobroute.client import TwistedClient
from jobroute.testing.clients import TIMEOUT
from jobroute.testing.questions import Asker, JobPlan
from jobroute.testing.torture.notes import Tail, entry, files
from jobroute.testing.torture.orders import Child, Place, begin
from jobroute.testing.workload import Workload

#: Named and not imported: importing it installs a reactor.
_NETWORK = "jobroute.zeromq.network.TxNetwork"

#: Seconds between two questions, on average.
QUESTION = 0.12

#: So many questions may be without an answer.
WINDOW = 200

#: So many jobs of each client are known to one that is born.
REMEMBERED = 20

#: Seconds between two looks at whether the trouble is over.
LOOK = 0.1


def jobs_of(place: Place, prefix: str) -> dict[str, JobPlan]:
    """
    The jobs that clients handed in, of all whose names begin so.
    """
    found: dict[str, JobPlan] = {}
    for path in files(place.notes, prefix):
        for line in Tail(path).lines():
            if line.what == "asked" and line.said["command"] == "SUBMIT":
                # What was handed in first is the job.
                found.setdefault(line.said["job"], entry(line).said["plan"])
    return found


@define(eq=False)
class Busy:
    """
    Asks, in trouble and in calm.

    @ivar left: the jobs that are still to be asked for.
    """

    _child: Child
    _asker: Asker
    _workload: Workload
    _random: Random
    left: deque[str] = field(factory=deque, init=False)
    _calm: bool = field(default=False, init=False)
    _rested: bool = field(default=False, init=False)

    def question(self) -> None:
        """
        Ask for something now, and again later.
        """
        if self._calm:
            return
        if len(self._asker.waiting) < WINDOW:
            self._workload.ask(self._asker)
        pause = self._random.expovariate(1 / QUESTION)
        self._child.reactor.callLater(pause, self.question)

    def look(self) -> None:
        """
        See whether the trouble is over, and then whether all is told.
        """
        orders = self._child.orders
        if not self._calm:
            self._calm = orders.place.calm.exists()
            if self._calm:
                self.left.extend(jobs_of(orders.place, f"{orders.name}."))
            return
        while self.left and len(self._asker.waiting) < WINDOW:
            self._asker.wait(self.left.popleft(), None, stream=len(self.left) % 3 > 0)
        if not self._rested and not self.left and not self._asker.waiting:
            self._rested = True
            self._child.note("rested")


def run(child: Child) -> None:
    """
    Be a client until it is over.
    """
    orders, reactor = child.orders, child.reactor
    random = Random(orders.seed)
    network = namedAny(_NETWORK)(reactor, 1)
    client = TwistedClient(
        orders.place.url, reactor=reactor, network=network, name=orders.name, timeout=TIMEOUT
    )
    known: dict[str, JobPlan] = {}
    for name in sorted({path.name.partition(".")[0] for path in files(orders.place.notes, "c")}):
        known.update(list(jobs_of(orders.place, f"{name}.").items())[-REMEMBERED:])
    # Its own latest are the last.
    for id in [id for id in known if id.startswith(f"{orders.name}.")]:
        known[id] = known.pop(id)
    workload = Workload(random, orders.agents, f"{orders.who}-", known)
    busy = Busy(child, Asker(client, child.note), workload, random)

    def start() -> None:
        busy.question()
        LoopingCall(busy.look).start(LOOK).addErrback(failed)
        child.on_stop(stop)

    def failed(failure: Any) -> None:
        child.note("bug", text=failure.getTraceback())

    def stop() -> None:
        closed: Deferred[None] = client.close()
        closed.addCallback(lambda _: network.close()).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run()


if __name__ == "__main__":
    run(begin())
