"""
When the disk, the broker or a clock stands still, or leaps.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.agents import STRAYS
from jobroute.config import Limits
from jobroute.interfaces import AnswerKind
from jobroute.model import Held, ReplyKind
from tests.broker.kit import Kit, Reply

TOKEN = "t" * 20


class StandstillTests(SynchronousTestCase):
    """
    Nobody pays for what was not his.
    """

    def test_due_together(self) -> None:
        """
        A call and a wait for it that are due in the same moment stop no timer
        of anybody else.
        """
        kit = Kit()
        kit.call(token=TOKEN, queue_limit=5)
        kit.ask("WAIT", token=TOKEN, timeout=5)
        kit.submit(queue_limit=5, job="other")
        kit.clocks.advance(6)
        kit.broker.tick()
        kit.settle()
        self.assertEqual(kit.verdicts("other"), {"expired": 1})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_broker_stood_still(self) -> None:
        """
        A broker that was stopped for longer than the leases loses nobody for
        that; who stays silent afterwards is lost all the same.
        """
        kit = Kit()
        agents = [kit.agent(f"a{number}") for number in range(5)]
        for number in range(5):
            kit.submit(job=f"j{number}")
        kit.broker.tick()
        kit.clocks.advance(1000)
        kit.broker.tick()
        kit.settle()
        self.assertEqual(len(kit.broker.roster), 5)
        held = [(agent, agent.last) for agent in agents]
        for agent, delivery in held[1:]:
            agent.beat(delivery)
        kit.advance(12, *agents[1:])
        self.assertEqual(len(kit.broker.roster), 4)

    def test_read_before_anything_else(self) -> None:
        """
        When a broker that was stopped goes on, the first that it reads may be
        a beat that crossed a delivery: that loses nothing.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.broker.tick()
        kit.submit(job="j")
        kit.clocks.advance(1000)
        agent.beat()
        self.assertEqual([delivery.attempt for delivery in agent.deliveries], [1, 1])
        agent.result()
        self.assertEqual(kit.verdicts("j"), {"succeeded": 1})

    def test_whole_grace(self) -> None:
        """
        An agent that comes back late in the grace period, and never got its
        part, is given it again.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.submit(job="j")
        kit.crash()
        kit.advance(15)
        back = kit.returned(agent)
        back.announce()
        back.pong()
        self.assertEqual((back.last.job, back.last.attempt), ("j", 1))
        back.result()
        self.assertEqual(kit.verdicts("j"), {"succeeded": 1})

    def test_cancel_is_stored_first(self) -> None:
        """
        No agent is asked to stop before the intent is on disk, however often
        agents are asked meanwhile.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.submit(job="j")
        delivery = agent.last
        kit.hold = True
        kit.ask("CANCEL", job="j")
        for _ in range(8):
            kit.clocks.advance(0.5)
            agent.beat(delivery)
            kit.broker.tick()
        self.assertEqual(agent.route.of("cancel"), [])
        kit.hold = False
        kit.settle()
        self.assertEqual(len(agent.route.of("cancel")), 1)
        agent.cancelled(delivery)
        self.assertEqual(kit.verdicts("j"), {"cancelled": 1})

    def test_run_limit_begins_with_the_delivery(self) -> None:
        """
        The time that a part waits for the disk is none that it runs.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.hold = True
        kit.submit(job="j", run_limit=5)
        for _ in range(14):
            kit.clocks.advance(0.5)
            agent.beat()
            kit.broker.tick()
        kit.hold = False
        kit.settle()
        agent.result(agent.last)
        self.assertEqual(kit.verdicts("j"), {"succeeded": 1})

    def test_prefetched_over_a_restart(self) -> None:
        """
        What was only prefetched when the broker crashed has not run yet.
        """
        kit = Kit()
        agent = kit.agent("a", slots=1, prefetch=1)
        kit.submit(job="running", run_limit=1000)
        kit.submit(job="waiting", run_limit=5)
        held = list(agent.deliveries)
        kit.crash()
        back = kit.returned(agent)
        back.announce()
        back.pong(*held)
        for _ in range(16):
            kit.clocks.advance(0.5)
            back.beat(*held)
            kit.broker.tick()
            kit.settle()
        back.result(held[1])
        self.assertEqual(kit.verdicts("waiting"), {"succeeded": 1})

    def test_input_behind_the_delivery(self) -> None:
        """
        An input does not overtake a delivery whose payload is still read.
        """
        kit = Kit(limits=Limits(payload_cache=0))
        answers: list[object] = []
        kit.disk.answers = answers.append
        kit.submit(b"payload", job="j")
        while answers:
            answers.pop(0)()  # type: ignore[operator]
        agent = kit.agent("a")
        kit.ask("INPUT", b"hello", job="j")
        self.assertEqual(agent.route.of("input"), [])
        while answers:
            answers.pop(0)()  # type: ignore[operator]
        self.assertEqual(
            [said[0] for said in agent.route.said if said[0] in ("deliver", "input")],
            ["deliver", "input"],
        )

    def test_disk_does_not_keep_up(self) -> None:
        """
        While the disk is in trouble, partial results are left to their agent,
        and what it sends again leaves nothing behind.
        """
        kit = Kit(limits=Limits(journal=100))
        agent = kit.agent("a")
        kit.submit(job="j")
        kit.hold = True
        for sequence in range(1, 1501):
            agent.partial(sequence, b"x")
        for _ in range(1000):
            agent.partial(1, b"x")
        self.assertLess(kit.broker.journal.backlog, 110)
        kit.hold = False
        kit.settle()
        for sequence in range(1, 1501):
            agent.partial(sequence, b"x")
        agent.result(partials=1500)
        self.assertEqual(kit.verdicts("j"), {"succeeded": 1})

    def test_wall_clock_leaps(self) -> None:
        """
        A wall clock that leaps ahead costs nobody his history.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.submit(job="j")
        agent.result()
        kit.advance(61, agent)
        kit.clocks.wall_now += 8 * 86400
        kit.advance(61, agent)
        self.assertEqual(kit.ask("JOB", job="j").result["state"], "ended")

    def test_raving_beat(self) -> None:
        """
        A beat that names what nobody gave is answered within bounds.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.broker.agents.beat(agent.route, [Held(1, n) for n in range(1, STRAYS + 100)])
        self.assertEqual(len(agent.route.of("cancel")), STRAYS)

    def test_wait_within_an_answer(self) -> None:
        """
        Who asks for more while he is told takes nothing from the others.
        """
        kit = Kit()
        first, second = kit.agent("a"), kit.agent("b")
        kit.submit(job="j", target="all")

        class Asking(Reply):
            """
            Waits again for each part that it is told of.
            """

            def answer(self, kind: AnswerKind, value: object, payload: object = ()) -> None:
                """
                Be told, and wait.
                """
                if kind is AnswerKind.PART:
                    kit.ask("WAIT", job="j")

        waiting = kit.ask("WAIT", job="j", stream=["part"])
        job = kit.broker.dispatcher.find("default", "j")
        assert job is not None
        kit.broker.dispatcher.wait(job, Asking(), "~c", ("part",), None)
        later = kit.ask("WAIT", job="j", stream=["part"])
        first.result()
        second.result()
        for wait in (waiting, later):
            self.assertEqual(len(wait.of(AnswerKind.PART)), 2)
            self.assertTrue(wait.done)

    def test_talk_renews_nothing(self) -> None:
        """
        Who says anything but what it holds keeps its name, and no lease.
        """
        kit = Kit()
        agent = kit.agent("a")
        kit.submit(job="j")
        for _ in range(30):
            kit.clocks.advance(0.5)
            agent.reply(ReplyKind.PROGRESS, agent.last, value=1)
            kit.broker.tick()
            kit.settle()
        self.assertEqual(kit.verdicts("j"), {"lost": 1})
        self.assertEqual(len(kit.broker.roster), 1)
