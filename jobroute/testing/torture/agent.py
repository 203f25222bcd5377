# -*- test-case-name: tests.torture.test_torture -*-
"""
An agent of a torture.
"""

from __future__ import annotations

import sys
import time
from random import Random

from twisted.python.failure import Failure

from jobroute.agent import Agent
from jobroute.testing.errands import Worker
from jobroute.testing.torture.orders import Child, begin

#: How many parts an agent works on at a time, and how many more it may hold.
SLOTS = 8
PREFETCH = (0, 0, 2)

#: Seconds for which an agent that is stopped waits for its functions, and for
#: the acknowledgements.
DRAIN = SETTLE = 2.0


def run(child: Child) -> int:
    """
    Be an agent until it is over.

    @return: the exit status; as C{jobroute agent} has them.
    """
    orders, reactor = child.orders, child.reactor
    worker = Worker(reactor, orders.who, child.note, time.sleep)
    agent = Agent(
        orders.place.url,
        reactor,
        name=orders.name,
        # What not everybody offers, only the first one does.
        services=worker.functions(orders.name == orders.agents[0]),
        slots=SLOTS,
        prefetch=Random(orders.seed).choice(PREFETCH),
        drain=DRAIN,
        settle=SETTLE,
    )
    status = 0

    def stopped(result: Failure | None) -> None:
        nonlocal status
        if isinstance(result, Failure):
            child.note("gave-up", reason=str(result.value))
            status = 3
        else:
            status = 1 if agent.unfinished else 0
        reactor.stop()

    def start() -> None:
        agent.startService()
        assert agent.incarnation is not None
        child.note("incarnation", agent=agent.incarnation.core.announcement.incarnation)
        agent.whenStopped().addBoth(stopped)
        child.on_stop(agent.stopService)

    reactor.callWhenRunning(start)
    reactor.run()
    return status


if __name__ == "__main__":
    sys.exit(run(begin()))
