"""
Many agents in one process: C{python -m tests.bench.crowd URL FIRST COUNT}.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

from twisted.python.reflect import namedAny

from jobroute.agent.agent import Agent
from jobroute.agent.builtin import echo


def main() -> None:
    """
    Be agents until killed.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    reactor: Any = namedAny("twisted.internet.reactor")
    network = namedAny("jobroute.zeromq.network.TxNetwork")(reactor, 1)
    for number in range(first, first + count):
        name = f"a{number}"
        agent = Agent(url, reactor, network=network, name=name, services={"echo": echo}, slots=4)
        # Not all in one turn.
        reactor.callLater((number - first) * 0.005, agent.startService)
    reactor.run()


if __name__ == "__main__":
    main()
