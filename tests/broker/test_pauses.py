"""
Tests of L{jobroute.broker.pauses} and of the commands for it.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from tests.broker.kit import Kit


class DrainTests(SynchronousTestCase):
    """
    An agent is given nothing more.
    """

    def setUp(self) -> None:
        """
        A broker with an agent.
        """
        self.kit = Kit()
        self.agent = self.kit.agent("a", slots=2)

    def state(self, name: str = "a") -> tuple[str, bool]:
        """
        The state of an agent, and whether it is drained.
        """
        said = self.kit.ask("LIST").result[name]
        return said["state"], said["drained"]

    def test_drain(self) -> None:
        """
        It finishes what it has, and what comes later waits, and goes to
        another one if there is one.
        """
        self.kit.submit(job="j1")
        said = self.kit.ask("DRAIN", agent="a").result
        self.assertEqual(said, {"agent": "a", "drained": True, "outstanding": 1})
        self.assertEqual(self.state(), ("draining", True))
        self.kit.submit(job="j2")
        self.agent.result()
        self.assertEqual([d.job for d in self.agent.deliveries], ["j1"])
        (why,) = self.kit.ask("WHY", job="j2").result["parts"]
        self.assertEqual(why["code"], "none-ready")
        self.assertIn("draining", why["why"])
        self.assertEqual([d.job for d in self.kit.agent("b").deliveries], ["j2"])
        self.assertEqual(self.kit.verdicts("j1"), {"succeeded": 1})

    def test_named(self) -> None:
        """
        What is for it alone waits.
        """
        self.kit.ask("DRAIN", agent="a")
        self.kit.submit(job="j", target={"agents": ["a"]})
        self.assertEqual(self.agent.deliveries, [])
        self.assertEqual(self.kit.ask("WHY", job="j").result["parts"][0]["code"], "not-ready")
        self.kit.ask("RESUME", agent="a")
        self.assertEqual([d.job for d in self.agent.deliveries], ["j"])

    def test_resume(self) -> None:
        """
        It is given what waits, at once, and again by load.
        """
        self.kit.ask("DRAIN", agent="a")
        self.kit.submit(job="j1")
        said = self.kit.ask("RESUME", agent="a").result
        self.assertEqual(said, {"agent": "a", "drained": False, "outstanding": 1})
        self.assertEqual(self.state(), ("busy", False))
        self.kit.submit(job="j2")
        self.assertEqual([d.job for d in self.agent.deliveries], ["j1", "j2"])

    def test_again(self) -> None:
        """
        Twice is once: one event, and the same answer.
        """
        for _ in range(2):
            self.assertTrue(self.kit.ask("DRAIN", agent="a").result["drained"])
        for _ in range(2):
            self.assertFalse(self.kit.ask("RESUME", agent="a").result["drained"])
        kinds = [event.kind for event in self.kit.disk._tables._events.values()]
        self.assertEqual(kinds[-2:], ["agent.drained", "agent.resumed"])

    def test_later_incarnation(self) -> None:
        """
        It lasts over a restart of the agent.
        """
        self.kit.ask("DRAIN", agent="a")
        self.agent.leave()
        self.kit.submit(job="j")
        agent = self.kit.agent("a")
        self.assertEqual((agent.deliveries, self.state()), ([], ("draining", True)))
        self.kit.ask("RESUME", agent="a")
        self.assertEqual([d.job for d in agent.deliveries], ["j"])

    def test_away(self) -> None:
        """
        An agent may be drained, or let go on, while it is away.
        """
        self.agent.leave()
        said = self.kit.ask("DRAIN", agent="a").result
        self.assertEqual(said, {"agent": "a", "drained": True, "outstanding": 0})
        self.kit.agent("a")
        self.assertEqual(self.state(), ("draining", True))

    def test_restart(self) -> None:
        """
        It lasts over a restart of the broker, and over the agent's return.
        """
        self.kit.ask("DRAIN", agent="a")
        self.kit.crash()
        back = self.kit.returned(self.agent)
        self.assertEqual(self.state(), ("suspect", True))
        back.beat()
        self.kit.submit(job="j")
        self.assertEqual((back.deliveries, self.state()), ([], ("draining", True)))
        self.kit.ask("RESUME", agent="a")
        self.assertEqual([d.job for d in back.deliveries], ["j"])
        self.kit.crash()
        self.kit.returned(self.agent).beat()
        self.assertEqual(self.state()[1], False)

    def test_not_yet_welcome(self) -> None:
        """
        An agent that is let go on before it knows that it is taken gets work
        afterwards.
        """
        self.kit.ask("DRAIN", agent="a")
        self.agent.leave()
        self.kit.submit(job="j")
        self.kit.hold = True
        stranger = self.kit.stranger("a")
        stranger.announce()
        stranger.pong()
        self.kit.ask("RESUME", agent="a")
        self.assertEqual(stranger.route.of("welcome"), [])
        self.kit.hold = False
        self.kit.settle()
        said = [message for message, *_ in stranger.route.said]
        self.assertEqual(said[-2:], ["welcome", "deliver"])

    def test_committed(self) -> None:
        """
        The answer comes when it is on disk.
        """
        self.kit.hold = True
        reply = self.kit.ask("DRAIN", agent="a")
        self.assertFalse(reply.done)
        self.kit.hold = False
        self.kit.settle()
        self.assertTrue(reply.done)

    def test_unknown(self) -> None:
        """
        A name that nobody ever had is refused.
        """
        for command in ("DRAIN", "RESUME"):
            self.assertEqual(self.kit.ask(command, agent="nobody").code, "no-such-agent")

    def test_lost(self) -> None:
        """
        Whoever drains an agent may end it: that costs its parts no life.
        """
        self.kit.submit(job="j", attempts=2, max_lost=1)
        self.kit.ask("DRAIN", agent="a")
        self.kit.advance(60.0)
        self.assertEqual(self.kit.ask("JOB", job="j").result["parts"][0]["state"], "queued")


class PauseTests(SynchronousTestCase):
    """
    Nothing of a service is given out.
    """

    def setUp(self) -> None:
        """
        A broker with an agent for two services.
        """
        self.kit = Kit()
        self.agent = self.kit.agent("a", "s", "t", slots=9)

    def jobs(self) -> list[str]:
        """
        The jobs that were given out.
        """
        return [d.job for d in self.agent.deliveries]

    def test_pause(self) -> None:
        """
        What runs goes on, what is handed in waits, other services go on.
        """
        self.kit.submit(job="j1")
        said = self.kit.ask("PAUSE", service="s").result
        self.assertEqual(said, {"service": "s", "paused": True, "queued": 0})
        self.agent.result()
        self.kit.submit(job="j2")
        self.kit.submit(job="j3", target={"agents": ["a"]})
        self.kit.submit(job="j4", service="t")
        self.assertEqual(self.jobs(), ["j1", "j4"])
        self.assertEqual(self.kit.verdicts("j1"), {"succeeded": 1})
        (why,) = self.kit.ask("WHY", job="j2").result["parts"]
        self.assertEqual((why["code"], why["why"]), ("paused", "The service s is paused."))
        self.assertTrue(self.kit.ask("STATS").result["services"]["s"]["paused"])

    def test_resume(self) -> None:
        """
        What waited is given out at once.
        """
        self.kit.ask("PAUSE", service="s")
        for job in ("j1", "j2"):
            self.kit.submit(job=job)
        said = self.kit.ask("RESUME", service="s").result
        self.assertEqual(said, {"service": "s", "paused": False, "queued": 0})
        self.assertEqual(self.jobs(), ["j1", "j2"])

    def test_restart(self) -> None:
        """
        It lasts over a restart of the broker.
        """
        self.kit.ask("PAUSE", service="s")
        self.kit.submit(job="j")
        self.kit.crash()
        self.agent = self.kit.returned(self.agent)
        self.agent.beat()
        self.assertEqual(self.jobs(), [])
        self.kit.ask("RESUME", service="s")
        self.assertEqual(self.jobs(), ["j"])

    def test_new_agent(self) -> None:
        """
        An agent that comes meanwhile is given nothing of it.
        """
        self.kit.ask("PAUSE", service="s")
        self.kit.submit(job="j")
        self.assertEqual(self.kit.agent("b").deliveries, [])

    def test_lost(self) -> None:
        """
        What comes back to the queue waits there.
        """
        self.kit.submit(job="j", attempts=2)
        self.kit.ask("PAUSE", service="s")
        other = self.kit.agent("b")
        self.agent.leave()
        self.assertEqual(other.deliveries, [])
        self.kit.ask("RESUME", service="s")
        self.assertEqual([d.attempt for d in other.deliveries], [2])

    def test_limits_go_on(self) -> None:
        """
        A part may expire, or be cancelled, as in any queue.
        """
        self.kit.ask("PAUSE", service="s")
        self.kit.submit(job="j1", queue_limit=5)
        self.kit.submit(job="j2")
        self.kit.advance(6.0, self.agent)
        self.assertEqual(self.kit.verdicts("j1"), {"expired": 1})
        self.kit.ask("CANCEL", job="j2")
        self.assertEqual(self.kit.verdicts("j2"), {"cancelled": 1})

    def test_nobody_offers_it(self) -> None:
        """
        A service may be paused before anybody offers it; when it goes on it
        is forgotten.
        """
        self.kit.ask("PAUSE", service="later")
        self.assertIn("later", self.kit.ask("STATS").result["services"])
        self.kit.ask("RESUME", service="later")
        self.assertNotIn("later", self.kit.ask("STATS").result["services"])

    def test_limit(self) -> None:
        """
        No more services than there may be; those that are there can be
        paused.
        """
        kit = Kit(Limits(services=2))
        kit.agent("a", "s")
        self.assertTrue(kit.ask("PAUSE", service="one").result["paused"])
        self.assertEqual(kit.ask("PAUSE", service="two").code, "busy")
        self.assertTrue(kit.ask("PAUSE", service="s").result["paused"])

    def test_either(self) -> None:
        """
        C{RESUME} is given one of the two.
        """
        wrong: list[dict[str, Any]] = [{}, {"agent": "a", "service": "s"}]
        for given in wrong:
            self.assertEqual(self.kit.ask("RESUME", **given).code, "bad-property")
