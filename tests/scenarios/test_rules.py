"""
What attempts, numbers, names and strangers may and may not do.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import Refuse
from jobroute.interfaces import Delivery
from jobroute.model import Held, ReplyKind
from jobroute.testing import cluster
from tests.broker.kit import FakeAgent, Kit


class Case(SynchronousTestCase):
    """
    Has a broker.
    """

    def setUp(self) -> None:
        self.kit = Kit()

    def parts(self, job: str) -> list[dict[str, Any]]:
        """
        The parts of a job as C{JOB} says them.
        """
        parts: list[dict[str, Any]] = self.kit.ask("JOB", job=job).result["parts"]
        return parts

    def numbers(self) -> dict[str, int]:
        """
        What C{STATS} says of what there is now.
        """
        gauges = self.kit.ask("STATS").result["gauges"]
        return {name: gauges[name] for name in ("queued", "running", "jobs", "agents")}


class AttemptTests(Case):
    """
    How often a part is given to agents, and to which.
    """

    def test_more_than_agents(self) -> None:
        """
        More attempts than agents: the part waits for one that comes, is never
        given twice at a time, and has its verdict after the last.
        """
        agents = [self.kit.agent(name) for name in ("a", "b")]
        self.kit.submit(job="j", attempts=4, max_lost=9)
        for number in (1, 2):
            having = [a for a in agents if a.deliveries and a.last.attempt == number]
            self.assertEqual(len(having), 1)
            having[0].leave()
        self.assertEqual(self.numbers(), {"queued": 1, "running": 0, "jobs": 1, "agents": 0})
        for number in (3, 4):
            again = self.kit.agent("a")
            self.assertEqual(again.last.attempt, number)
            again.leave()
        self.assertEqual(self.kit.verdicts("j"), {"lost": 1})
        self.assertEqual(self.kit.left(), {})

    def test_one_agent(self) -> None:
        """
        With one agent the next attempt is that one's, when it is back.
        """
        self.kit.agent("a").leave()
        first = self.kit.agent("a")
        self.kit.submit(job="j", attempts=2)
        first.leave()
        second = self.kit.agent("a")
        self.assertEqual((second.last.part, second.last.attempt), (first.last.part, 2))
        second.result(None, b"x")
        self.assertEqual(self.kit.verdicts("j"), {"succeeded": 1})

    def test_refused_by_all(self) -> None:
        """
        What every agent refuses is refused, however many attempts are left;
        each was asked once.
        """
        asked: list[str] = []

        def picky(payload: bytes, context: Any) -> None:
            asked.append(context.job)
            raise Refuse("Not mine.")

        with cluster(3, {"picky": picky}) as c:
            job = c.submit("picky", attempts=9, retries={"on": ["refused"], "delay": 1.0})
            part = job.outcome().parts[0]
            self.assertEqual((part.verdict, part.reason), ("refused", "Not mine."))
            self.assertEqual(asked, [job.id] * 3)

    def test_cancelled_in_the_queue(self) -> None:
        """
        A part that waits for its next attempt is cancelled at once, and not
        given to anybody any more.
        """
        agent = self.kit.agent("a")
        self.kit.submit(job="j", attempts=5)
        agent.leave()
        self.assertEqual(self.kit.ask("CANCEL", job="j").result["cancelling"], 1)
        self.assertEqual(self.kit.verdicts("j"), {"cancelled": 1})
        self.assertEqual(self.kit.agent("a").deliveries, [])


class NumberTests(Case):
    """
    What is counted is what is so.
    """

    def test_after_everything(self) -> None:
        """
        After retries, deaths and cancels.
        """
        one, two = self.kit.agent("a", slots=2), self.kit.agent("b", slots=1)
        for number in range(6):
            self.kit.submit(job=f"j{number}", attempts=1 + number % 2)
        self.assertEqual(self.numbers(), {"queued": 3, "running": 3, "jobs": 6, "agents": 2})
        one.leave()
        lost = sum(part["verdict"] == "lost" for n in range(6) for part in self.parts(f"j{n}"))
        queued = sum(part["state"] == "queued" for n in range(6) for part in self.parts(f"j{n}"))
        self.assertEqual(lost + queued, 5)
        said = self.numbers()
        self.assertEqual(said, {"queued": queued, "running": 1, "jobs": 6 - lost, "agents": 1})
        waiting = [n for n in range(6) if self.parts(f"j{n}")[0]["state"] == "queued"]
        self.kit.ask("CANCEL", job=f"j{waiting[0]}")
        two.reply(ReplyKind.FAILURE)
        while two.deliveries and self.numbers()["running"]:
            two.result()
        self.assertEqual(self.numbers(), {"queued": 0, "running": 0, "jobs": 0, "agents": 1})
        counters = self.kit.ask("STATS").result["counters"]
        verdicts = {n: c for n, c in counters.items() if n.startswith("verdicts_") and c}
        self.assertEqual(sum(verdicts.values()), 6)
        self.assertEqual(verdicts["verdicts_lost"], lost)
        self.assertEqual((verdicts["verdicts_cancelled"], verdicts["verdicts_failed"]), (1, 1))
        self.assertEqual(self.kit.left(), {})


class ForgeryTests(Case):
    """
    What others say for an agent, and what is said again.
    """

    def setUp(self) -> None:
        super().setUp()
        self.agent = self.kit.agent("a")
        self.kit.submit(job="j")
        self.given: Delivery = self.agent.last
        self.stranger = self.kit.stranger("x")

    def forge(self, stranger: FakeAgent) -> None:
        """
        Beat as if one were the agent.
        """
        held = [Held(self.given.part, self.given.attempt)]
        stranger.agents.beat(stranger.route, held)

    def test_beats_of_a_stranger(self) -> None:
        """
        Whoever names the attempts of an agent keeps neither it nor them alive.
        """
        for _ in range(24):
            self.forge(self.stranger)
            self.kit.advance(0.5)
        self.assertEqual(len(self.stranger.route.of("reregister")), 24)
        self.assertEqual(self.kit.verdicts("j"), {"lost": 1})
        self.assertEqual(self.kit.ask("LIST").result, {})

    def test_beats_of_another(self) -> None:
        """
        Nor does an agent for another.
        """
        self.stranger.register()
        for _ in range(24):
            self.forge(self.stranger)
            self.kit.advance(0.5)
        self.assertEqual(self.kit.verdicts("j"), {"lost": 1})
        self.assertEqual(list(self.kit.ask("LIST").result), ["x"])

    def test_answer_of_another(self) -> None:
        """
        An answer counts only from whom the attempt was given to.
        """
        for liar in (self.stranger, self.kit.agent("y")):
            liar.result(self.given, b"wrong")
        self.assertEqual(self.parts("j")[0]["state"], "running")
        self.agent.result(None, b"right")
        self.assertEqual(self.kit.ask("WAIT", job="j").payload, (b"right",))

    def test_said_again(self) -> None:
        """
        What is said again changes nothing, is acknowledged, and counted.
        """
        self.agent.result(None, b"first")
        before = self.kit.count("replies_refused")
        for _ in range(3):
            self.agent.result(self.given, b"second")
        self.assertEqual(self.kit.ask("WAIT", job="j").payload, (b"first",))
        self.assertEqual(self.kit.count("replies_refused"), before + 3)
        self.assertEqual(self.kit.history("j").count("part.ended"), 1)
        self.assertEqual(len(self.agent.route.of("ack")), 4)


class RegistrationTests(SynchronousTestCase):
    """
    Two with one name, and one that does not live.
    """

    def test_name_taken(self) -> None:
        """
        A second agent of a name is told so in a sentence, and the first is
        not disturbed; when the first is dead, the second takes its place.
        """
        kit = Kit()
        first = kit.agent("a")
        kit.submit(job="j")
        second = kit.stranger("a")
        second.announce()
        first.beat(first.last)
        kit.advance(0.5, first)
        second.pong()
        self.assertEqual(
            second.route.of("refuse"),
            [["name-taken", "Another agent has the name a and answers; choose another name."]],
        )
        self.assertEqual(kit.ask("LIST").result["a"]["outstanding"], 1)
        third = kit.stranger("a")
        third.announce()
        third.pong()
        kit.advance(3)
        self.assertTrue(third.route.of("welcome"))
        self.assertEqual(kit.verdicts("j"), {"lost": 1})

    def test_identity_in_use(self) -> None:
        """
        An identity that is one agent's cannot be another's.
        """
        kit = Kit()
        first = kit.agent("a")
        thief = kit.stranger("b", incarnation=first.announcement.incarnation)
        thief.announce()
        [(code, text)] = thief.route.of("refuse")
        self.assertEqual((code, text), ("name-taken", "This incarnation is agent a already."))
        self.assertEqual(list(kit.ask("LIST").result), ["a"])

    def test_no_sign_of_life(self) -> None:
        """
        Who announces itself and never answers is no agent, and is forgotten.
        """
        kit = Kit()
        for number in range(5):
            kit.stranger(f"dead{number}").announce()
        self.assertEqual(kit.ask("STATS").result["gauges"]["registrations"], 5)
        kit.advance(11)
        self.assertEqual(kit.ask("STATS").result["gauges"]["registrations"], 0)
        self.assertEqual(kit.count("registrations_expired"), 5)
        self.assertEqual(kit.ask("LIST").result, {})
