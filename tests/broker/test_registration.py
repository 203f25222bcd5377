"""
Tests of L{jobroute.broker.registration}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.registration import NAMES, describe, described
from jobroute.config import Limits
from jobroute.errors import StorageError
from jobroute.model import Announcement
from tests.broker.kit import FakeAgent, Kit


class RegistrationTests(SynchronousTestCase):
    """
    A stranger becomes an agent in two halves.
    """

    def setUp(self) -> None:
        self.kit = Kit()

    def listed(self) -> dict[str, str]:
        """
        The incarnation of each agent.
        """
        return {n: a["incarnation"] for n, a in self.kit.ask("LIST").result.items()}

    def test_two_halves(self) -> None:
        """
        An announcement makes no agent; the answer to the ping does; it is
        welcome when that is on disk, and only then is given work.
        """
        agent = self.kit.stranger("a")
        agent.announce()
        self.assertEqual((len(agent.route.of("ping")), self.listed()), (1, {}))
        self.kit.hold = True
        agent.pong()
        self.kit.call()
        self.assertEqual((agent.route.of("welcome"), agent.deliveries), ([], []))
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(agent.route.of("welcome"), [[1, 1, []]])
        self.assertEqual(len(agent.deliveries), 1)
        self.assertEqual(self.kit.count("registrations"), 1)

    def test_wrong_answer(self) -> None:
        """
        Another answer than the ping asked for makes no agent.
        """
        agent = self.kit.stranger("a")
        agent.announce()
        self.kit.broker.agents.ponged(agent.route, "guessed", [])
        self.assertEqual((self.listed(), agent.route.said[-1]), ({}, ("reregister",)))

    def test_asked_again(self) -> None:
        """
        A newcomer is pinged again while its connection is not there yet, with
        the same question; announcing again changes nothing.
        """
        agent = self.kit.stranger("a")
        agent.announce()
        self.kit.advance(2, step=0.25)
        agent.announce()
        pings = agent.route.of("ping")
        self.assertGreaterEqual(len(pings), 5)
        self.assertEqual(len({nonce for (nonce,) in pings}), 1)
        agent.pong()
        self.assertEqual(list(self.listed()), ["a"])

    def test_purged(self) -> None:
        """
        A registration that nobody confirms is forgotten.
        """
        agent = self.kit.stranger("a")
        agent.announce()
        self.kit.advance(9.5)
        self.assertEqual(len(self.kit.broker.agents.registration), 1)
        self.kit.advance(1)
        self.assertEqual(len(self.kit.broker.agents.registration), 0)
        self.assertEqual((self.kit.count("registrations_expired"), agent.route.closed), (1, 1))
        agent.pong()
        self.assertEqual(self.listed(), {})

    def test_left_before(self) -> None:
        """
        A newcomer may take leave, and its route is forgotten.
        """
        agent = self.kit.stranger("a")
        agent.announce()
        agent.leave()
        self.assertEqual((len(self.kit.broker.agents.registration), agent.route.closed), (0, 1))

    def test_again(self) -> None:
        """
        The same incarnation again keeps its number and what it holds, and is
        told so.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j")
        key = (agent.last.part, 1)
        agent.announce()
        agent.pong(agent.last)
        self.assertEqual(agent.route.of("welcome")[-1], [1, 1, [key]])
        self.assertEqual(len(self.kit.broker.roster), 1)
        agent.result()
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})

    def test_another_name(self) -> None:
        """
        An incarnation has one name, while it is a newcomer and later.
        """
        agent = self.kit.stranger("a")
        agent.announce()
        other = self.kit.stranger("b", incarnation=agent.announcement.incarnation)
        other.announce()
        agent.pong()
        self.assertEqual(list(self.listed()), ["a"])
        other.announce()
        self.assertEqual(agent.route.of("refuse")[0][0], "name-taken")
        self.assertEqual((list(self.listed()), agent.route.closed), (["a"], 0))

    def test_description(self) -> None:
        """
        An announcement survives the store.
        """
        whole = Announcement("a", "0" * 32, ("s", "t"), 3, 1, 7, "h", "v", {"r": "1"})
        self.assertEqual(described(describe(whole)), whole)


class RivalTests(SynchronousTestCase):
    """
    Two incarnations of one name.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.old = self.kit.agent("a")
        self.kit.submit(job="j", attempts=2)
        self.new = self.kit.stranger("a")

    def holder(self) -> str:
        """
        Which incarnation has the name.
        """
        incarnation: str = self.kit.ask("LIST").result["a"]["incarnation"]
        return incarnation

    def test_answers(self) -> None:
        """
        When the old one answers its ping, the newcomer is refused.
        """
        pings = len(self.old.route.of("ping"))
        self.new.announce()
        self.assertEqual(len(self.old.route.of("ping")), pings + 1)
        self.kit.advance(0.5)
        self.old.pong(self.old.last)
        self.new.pong()
        self.assertEqual(
            self.new.route.of("refuse"),
            [["name-taken", "Another agent has the name a and answers; choose another name."]],
        )
        self.assertEqual(
            (self.new.route.closed, self.holder()), (1, self.old.announcement.incarnation[:8])
        )

    def test_answers_later(self) -> None:
        """
        The old one has an interval to answer.
        """
        self.new.announce()
        self.new.pong()
        self.kit.advance(1.5)
        self.assertEqual(self.new.route.of("welcome"), [])
        self.old.beat(self.old.last)
        self.kit.advance(0.5)
        self.assertEqual(len(self.new.route.of("refuse")), 1)

    def test_silent(self) -> None:
        """
        When it does not, the newcomer takes the name and the number, and what
        the old one held is settled at once.
        """
        self.new.announce()
        self.new.pong()
        self.kit.advance(2)
        self.assertEqual(self.holder(), self.new.announcement.incarnation[:8])
        self.assertEqual(self.new.route.of("welcome"), [[1, 1, []]])
        self.assertEqual((self.new.last.attempt, self.old.route.closed), (2, 1))
        self.old.result(self.old.deliveries[0], b"late")
        self.assertEqual(self.old.route.said[-1], ("reregister",))
        self.new.result(None, b"right")
        self.assertEqual(self.kit.ask("WAIT", job="j").payload, (b"right",))

    def test_left_meanwhile(self) -> None:
        """
        When the old one leaves meanwhile, there is nothing to wait for.
        """
        self.new.announce()
        self.old.leave()
        self.new.pong()
        self.assertEqual(self.holder(), self.new.announcement.incarnation[:8])

    def test_two_newcomers(self) -> None:
        """
        Of two newcomers of one free name the first has it, and the other has
        to wait for it like anybody else.
        """
        kit = self.kit
        first, second = kit.stranger("b"), kit.stranger("b")
        first.announce()
        second.announce()
        first.pong()
        kit.clocks.advance(0.1)
        second.pong()
        self.assertEqual((len(first.route.of("welcome")), second.route.of("welcome")), (1, []))
        kit.clocks.advance(0.1)
        first.beat()
        kit.advance(0.5)
        self.assertEqual(len(second.route.of("refuse")), 1)
        first.leave()
        self.assertEqual(len(kit.broker.roster), 1)


class LimitTests(SynchronousTestCase):
    """
    At the limit, and one past it.
    """

    def refused(self, agent: FakeAgent) -> str:
        """
        Announce, and say why it was refused.
        """
        agent.announce()
        ((code, text),) = agent.route.of("refuse")
        self.assertEqual((code, agent.route.closed), ("busy", 1))
        return str(text)

    def test_agents(self) -> None:
        """
        So many agents, also if all announced themselves together; one that
        comes back is not one more.
        """
        kit = Kit(Limits(agents=2))
        agents = [kit.stranger(name) for name in "abc"]
        for agent in agents:
            agent.announce()
        for agent in agents:
            agent.pong()
        self.assertEqual([len(a.route.of("welcome")) for a in agents], [1, 1, 0])
        self.assertEqual(
            agents[2].route.of("refuse"), [["busy", "There are 2 agents, and that is the limit."]]
        )
        self.refused(kit.stranger("d"))
        agents[0].announce()
        agents[0].pong()
        self.assertEqual(len(agents[0].route.of("welcome")), 2)
        agents[1].leave()
        kit.agent("d")
        self.assertEqual(kit.count("registrations_refused"), 2)

    def test_names(self) -> None:
        """
        Names that are gone are known for long, but not without end.
        """
        kit = Kit(Limits(agents=1))
        for number in range(NAMES):
            kit.agent(f"a{number}").leave()
        self.assertIn("10 names", self.refused(kit.stranger("new")))
        kit.agent("a3")

    def test_pending(self) -> None:
        """
        So many registrations under way.
        """
        kit = Kit(Limits(pending_registrations=2))
        newcomers = [kit.stranger(name) for name in "ab"]
        for newcomer in newcomers:
            newcomer.announce()
        self.refused(kit.stranger("c"))
        newcomers[0].pong()
        kit.stranger("d").announce()
        self.assertEqual(len(kit.broker.agents.registration), 2)

    def test_services(self) -> None:
        """
        So many services.
        """
        kit = Kit(Limits(services=3))
        kit.agent("a", "s1", "s2", "s3")
        kit.agent("b", "s1", "s3")
        self.assertIn("1 new services", self.refused(kit.stranger("c", "s1", "s4")))

    def test_no_numbers(self) -> None:
        """
        While the disk gives no numbers, a newcomer is refused.
        """
        kit = Kit()
        kit.trouble(StorageError("The disk is full."))
        kit.broker.numbers.next = kit.broker.numbers._granted
        agent = kit.stranger("a")
        agent.announce()
        agent.pong()
        self.assertEqual(agent.route.of("refuse")[0][0], "storage-unavailable")
