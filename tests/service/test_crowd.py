"""
Many agents that come at once, on real sockets.
"""

from __future__ import annotations

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from jobroute.agent import Agent
from jobroute.model import AgentState
from jobroute.service import BrokerService
from jobroute.zeromq.network import TxNetwork
from tests.service.kit import ServiceCase, settings, until

#: How many agents.
CROWD = 200

#: How many of them may register at a time.
ROOM = 20


class CrowdTests(ServiceCase):
    """
    Ten times as many as may register at a time.
    """

    def crowd(self, url: str) -> list[Agent]:
        """
        Agents that begin in the same turn.
        """
        network = TxNetwork(reactor)
        self.addCleanup(network.close)
        agents = []
        for number in range(CROWD):
            agent = Agent(
                url,
                reactor,
                network=network,
                name=f"a{number}",
                services={"echo": "jobroute.agent.builtin:echo"},
                slots=1,
                drain=0.0,
                settle=0.0,
            )
            agent.startService()
            self.addCleanup(agent.abort)
            agents.append(agent)
        return agents

    def here(self, broker: BrokerService) -> int:
        """
        How many a broker may give work to.
        """
        assert broker._life is not None and broker._life.broker is not None
        return sum(agent.state is AgentState.READY for agent in broker._life.broker.roster)

    async def test_return(self) -> None:
        """
        All are taken, those put off too, and all are back after a restart,
        whether the broker knows them or not.
        """
        given = settings(self.folder(), storage="sqlite", heartbeat="none")
        given = evolve(
            given,
            heartbeat_interval=1.0,
            liveness=10,
            grace=20.0,
            limits=evolve(given.limits, pending_registrations=ROOM),
        )
        broker = await self.broker(given)
        agents = self.crowd(broker.endpoints["frontend"])
        await gatherResults([agent.whenReady() for agent in agents])
        assert broker._life is not None and broker._life.broker is not None
        self.assertGreater(broker._life.broker.counters["registrations_refused"], 0)
        for storage in ("sqlite", "memory"):
            await broker.stopService()
            broker = await self.broker(evolve(given, storage=storage))
            await until(lambda found=broker: self.here(found) == CROWD)
            assert broker._life is not None and broker._life.broker is not None
            self.assertEqual(broker._life.broker.counters["agents_lost"], 0)
