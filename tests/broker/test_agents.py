"""
Tests of L{jobroute.broker.agents} and L{jobroute.broker.roster}: leases, and
how agents leave.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.interfaces import IAgents, ICandidate
from tests.broker.kit import Kit


class InterfaceTests(SynchronousTestCase):
    """
    Everybody provides what they say.
    """

    def test_interfaces(self) -> None:
        """
        The agents' side of the dispatcher, and an agent.
        """
        kit = Kit()
        verifyObject(IAgents, kit.broker.agents)
        verifyObject(ICandidate, kit.agent().route.agent)


class LeaseTests(SynchronousTestCase):
    """
    Beats that name an attempt renew it, and nothing else does.
    """

    def setUp(self) -> None:
        # An interval of 2 seconds, and 5 of them are the lease.
        self.kit = Kit()
        self.agent = self.kit.agent("a")
        self.kit.submit(b"x", job="j")
        self.delivery = self.agent.last

    def beats(self, seconds: float, *held: object) -> None:
        """
        Beat every second, naming these.
        """
        for _ in range(int(seconds)):
            self.kit.advance(1)
            self.agent.beat(*held)  # type: ignore[arg-type]

    def test_named(self) -> None:
        """
        A beat that names the attempt renews it for ever.
        """
        self.beats(100, self.delivery)
        self.assertEqual(len(self.agent.deliveries), 1)
        self.agent.result()
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})

    def test_renewed(self) -> None:
        """
        The lease runs from the last beat that named the attempt: one bare
        beat after many is no loss yet.
        """
        self.beats(20, self.delivery)
        self.beats(9)
        self.assertEqual(self.kit.broker.gauges()["jobs"], 1)
        self.beats(20, self.delivery)
        self.beats(14)
        self.assertEqual(self.kit.verdicts("j"), {"lost": 1})

    def test_crossed(self) -> None:
        """
        A beat that may have crossed the delivery does not matter.
        """
        self.kit.advance(1)
        self.agent.beat()
        self.assertEqual(len(self.agent.deliveries), 1)

    def test_lease_begins_with_the_delivery(self) -> None:
        """
        However long the disk took, or nothing could leave for the agent.
        """
        for reachable in (True, False):
            with self.subTest(reachable=reachable):
                kit = Kit()
                agent = kit.agent()
                kit.hold, agent.route.reachable = reachable, reachable
                kit.submit(job="j")
                agent.beat()
                kit.advance(6.0)
                kit.hold, agent.route.reachable = False, True
                kit.settle()
                agent.beat()
                self.assertTrue(agent.deliveries)
                kit.advance(9.0)
                self.assertEqual(kit.broker.gauges()["running"], 1)
                kit.advance(2.0)
                self.assertEqual(kit.verdicts("j"), {"lost": 1})

    def test_redelivered(self) -> None:
        """
        What the agent does not name is delivered again, under the same
        number, with its payload.
        """
        self.kit.advance(2)
        self.agent.beat()
        self.assertEqual(self.agent.deliveries, [self.delivery, self.delivery])
        self.assertEqual(self.kit.count("deliveries_repeated"), 1)
        self.kit.advance(1)
        self.agent.beat()
        self.assertEqual(len(self.agent.deliveries), 2)
        self.agent.result()
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})

    def test_bare(self) -> None:
        """
        A lease that bare beats did not renew ends, though its agent lives.
        """
        self.beats(12)
        outcome = self.kit.ask("WAIT", job="j").result["parts"][0]
        self.assertEqual(
            (outcome["verdict"], outcome["reason"]),
            ("lost", "Its agent did not hold it for the whole lease."),
        )
        self.assertEqual(self.kit.left(), {})
        self.assertEqual(self.agent.route.of("cancel"), [[self.delivery.part, 1]])

    def test_not_sent(self) -> None:
        """
        A lease does not end while its delivery waits for the disk.
        """
        self.agent.result()
        self.kit.hold = True
        self.kit.submit(b"y", job="k")
        self.beats(30)
        self.assertEqual(len(self.agent.deliveries), 1)
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(self.agent.last.job, "k")
        self.agent.result()
        self.assertEqual(self.kit.verdicts("k"), {"succeeded": 1})

    def test_unknown(self) -> None:
        """
        An attempt that the broker does not know is to be dropped.
        """
        self.agent.result()
        self.agent.beat(self.delivery)
        self.assertEqual(self.agent.route.of("cancel"), [[self.delivery.part, 1]])

    def test_settling(self) -> None:
        """
        One whose result is on its way to the disk is left alone.
        """
        self.kit.hold = True
        self.agent.result()
        self.agent.beat(self.delivery)
        self.assertEqual((self.agent.route.of("cancel"), self.agent.route.of("ack")), ([], []))
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(len(self.agent.route.of("ack")), 1)

    def test_stopped_and_forgotten(self) -> None:
        """
        An agent that does not name what it was to stop has stopped it.
        """
        self.kit.ask("CANCEL", job="j")
        self.kit.advance(2)
        self.agent.beat()
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.assertEqual(self.kit.left(), {})

    def test_timed_out_and_forgotten(self) -> None:
        """
        Likewise after a run limit.
        """
        self.agent.result()
        self.kit.submit(job="k", run_limit=1)
        self.kit.advance(2.5)
        self.agent.beat()
        self.assertEqual((self.kit.verdicts("k"), self.kit.left()), ({"timed_out": 1}, {}))


class LeavingTests(SynchronousTestCase):
    """
    How agents go.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.agent = self.kit.agent("a")

    def state(self) -> str | None:
        """
        What C{LIST} says of it.
        """
        listed = self.kit.ask("LIST").result.get("a")
        return None if listed is None else listed["state"]

    def test_silent(self) -> None:
        """
        A silent agent is pinged each interval, and lost after five; its
        number waits for its name.
        """
        number = self.kit.ask("LIST").result["a"]["number"]
        self.kit.submit(job="j")
        pings = len(self.agent.route.of("ping"))
        self.kit.advance(9.5)
        self.assertEqual((self.state(), len(self.agent.route.of("ping"))), ("busy", pings + 4))
        self.kit.advance(0.5)
        self.assertEqual((self.state(), self.kit.verdicts("j")), (None, {"lost": 1}))
        self.assertEqual((self.kit.count("agents_lost"), self.agent.route.closed), (1, 1))
        self.assertEqual(self.kit.agent("a").route.of("welcome")[0][0], number)

    def test_pong(self) -> None:
        """
        A pong is a sign of life, and names what is held.
        """
        self.kit.submit(job="j")
        for _ in range(20):
            self.kit.advance(2)
            self.agent.pong(self.agent.last)
        self.assertEqual((self.state(), len(self.agent.deliveries)), ("busy", 1))

    def test_draining(self) -> None:
        """
        A draining agent is given nothing more, and finishes what it has.
        """
        self.kit.submit(job="j")
        self.kit.submit(job="k")
        self.agent.drain()
        self.agent.drain()
        self.assertEqual(self.state(), "draining")
        self.agent.result()
        self.assertEqual(
            (len(self.agent.deliveries), self.kit.verdicts("j")), (1, {"succeeded": 1})
        )
        self.kit.agent("b")
        self.assertEqual(self.kit.ask("WHY", job="k").result["parts"][0]["code"], "running")

    def test_unregister(self) -> None:
        """
        An agent that leaves is gone at once; what it says then is a
        stranger's.
        """
        self.agent.leave()
        self.assertEqual((self.state(), self.agent.route.closed), (None, 1))
        self.agent.beat()
        self.agent.drain()
        self.agent.leave()
        self.assertEqual(self.agent.route.said[-1], ("reregister",))
        self.assertEqual(self.kit.count("strangers"), 2)
        self.assertEqual(len(self.kit.broker.services), 0)

    def test_welcome_after_leaving(self) -> None:
        """
        An agent that left before it was welcome is not welcome.
        """
        self.kit.hold = True
        agent = self.kit.stranger("b")
        agent.announce()
        agent.pong()
        agent.leave()
        self.kit.hold = False
        self.kit.settle()
        self.assertEqual(agent.route.of("welcome"), [])

    def test_listed(self) -> None:
        """
        What C{LIST} says.
        """
        agent = self.kit.agent(
            "b",
            "s",
            "t",
            slots=4,
            prefetch=1,
            pid=7,
            hostname="h",
            version="v 1",
            labels={"r": "1"},
        )
        self.agent.leave()
        self.kit.call()
        self.kit.advance(0.5)
        self.assertEqual(
            self.kit.ask("LIST").result,
            {
                "b": {
                    "agent_id": "b",
                    "number": 2,
                    "pid": 7,
                    "hostname": "h",
                    "state": "busy",
                    "drained": False,
                    "services": ["s", "t"],
                    "slots": 4,
                    "prefetch": 1,
                    "outstanding": 1,
                    "load": 0.25,
                    "labels": {"r": "1"},
                    "incarnation": agent.announcement.incarnation[:8],
                    "version": "v 1",
                    "silent": 0.5,
                }
            },
        )


class ListedTests(SynchronousTestCase):
    """
    Who is listed.
    """

    def test_on_disk(self) -> None:
        """
        Nobody whose number a crash of the broker could take back; but those
        of earlier epochs, heard or not.
        """
        kit = Kit()
        kit.hold = True
        agent = kit.stranger("a")
        agent.announce()
        agent.pong()
        self.assertEqual(kit.ask("LIST").result, {})
        kit.commit()
        number = kit.ask("LIST").result["a"]["number"]
        kit.crash()
        self.assertEqual(kit.ask("LIST").result["a"]["number"], number)
        kit.hold = True
        kit.returned(agent).beat()
        self.assertEqual(kit.ask("LIST").result["a"]["state"], "ready")
