"""
Tests for L{jobroute.testing.checker}: it accepts a history in which every
promise is kept, and finds each promise that is broken in another one.
"""

from __future__ import annotations

from attrs import evolve
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from jobroute.model import PartState, Verdict
from jobroute.testing import promises, sureties
from jobroute.testing.checker import PROMISES, judge, title
from jobroute.testing.clock import WALL
from jobroute.testing.evidence import Stored
from jobroute.testing.promises import Promise
from tests.simulation.tale import FIRST, ID, JOB, PART, PLAN, RESULT, SECOND, Tale, outcome


class CheckerTests(SynchronousTestCase):
    """
    A tale is told, and judged.
    """

    def setUp(self) -> None:
        """
        Begin a tale.
        """
        self.tale = Tale()

    def breaks(self, *expected: Promise) -> None:
        """
        The tale breaks these promises, and no other.
        """
        broken = {breach.promise for breach in judge(self.tale.told())}
        self.assertEqual(broken, {title(promise) for promise in expected})

    def test_kept(self) -> None:
        """
        Nothing is wrong with the tale as it is.
        """
        self.tale.work()
        self.breaks()

    def test_titles(self) -> None:
        """
        Each promise has a sentence of its own.
        """
        self.assertEqual(len({title(promise) for promise in PROMISES}), len(PROMISES))

    def test_relevant(self) -> None:
        """
        A breach shows what the history says of its job.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "STATS")
        self.tale.answered(3.3, 3, "STATS")
        self.tale.results = [(b"another's",)]
        evidence = self.tale.told()
        shown = judge(evidence, [promises.no_stale_answer])[0].relevant(evidence)
        self.assertIn("ended", [entry.what for entry in shown])
        self.assertNotIn("STATS", [entry.get("command") for entry in shown])

    # -- Jobs

    def test_forgotten(self) -> None:
        """
        A job was accepted and is not stored.
        """
        self.tale.asks(3.2, 3, "SUBMIT", job="j2", plan=evolve(PLAN, id="j2"))
        self.tale.answered(3.3, 3, "SUBMIT", job="j2", number=50, parts=1, existing=False)
        self.tale.work()
        self.breaks(promises.acknowledged_is_on_disk)

    def test_fewer_parts(self) -> None:
        """
        A job was accepted with more parts than are stored.
        """
        self.tale.asks(1.3, 3, "SUBMIT", job=ID, plan=PLAN)
        self.tale.answered(1.4, 3, "SUBMIT", job=ID, number=JOB, parts=2, existing=True)
        self.tale.work()
        self.breaks(promises.acknowledged_is_on_disk)

    def test_no_verdict(self) -> None:
        """
        A part has no verdict at the end.
        """
        part = self.tale.parts[0]
        self.tale.parts = [replace(part, state=PartState.RUNNING, verdict=None, ended=None)]
        self.tale.results = [()]
        self.tale.refused(3.0, 2, "WAIT", "wait-timeout")
        self.breaks(promises.verdict_for_every_part)

    def test_two_verdicts(self) -> None:
        """
        A part ended twice.
        """
        self.tale.work()
        self.tale.events.append(self.tale.ended("lost"))
        self.breaks(promises.verdict_for_every_part)

    def test_another_verdict(self) -> None:
        """
        Somebody was told another verdict than is stored.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "RESULT", job=ID)
        self.tale.answered(3.3, 3, "RESULT", job=ID, outcome=[outcome(verdict="lost", frames=())])
        self.breaks(promises.same_verdict_for_everybody)

    def test_another_part(self) -> None:
        """
        Somebody was told another result on the way than is stored.
        """
        self.tale.work()
        self.tale.tell(3.0, "c1.1", "part", ask=2, **outcome(frames=(b"other",)))
        self.breaks(promises.same_verdict_for_everybody)

    def test_late(self) -> None:
        """
        A verdict was late.
        """
        self.tale.work()
        self.tale.parts = [replace(self.tale.parts[0], ended=WALL + 45)]
        self.breaks(promises.verdict_by_the_deadline)

    def test_late_in_spite_of_broker(self) -> None:
        """
        A verdict may be late for as long as no broker served after the
        deadline.
        """
        self.tale.work()
        self.tale.parts = [replace(self.tale.parts[0], ended=WALL + 50)]
        self.tale.tell(41.0, "broker.1", "died")
        self.tale.tell(49.0, "broker.2", "ready", epoch=2)
        self.breaks(promises.verdict_by_the_deadline)
        self.assertEqual(self.tale.told().downtime(40.0, 50.0), 8.0)
        self.tale.parts = [replace(self.tale.parts[0], ended=WALL + 49.4)]
        self.breaks()

    def test_late_without_broker(self) -> None:
        """
        A verdict may be late if there was no broker.
        """
        self.tale.work()
        self.tale.tell(4, "broker.1", "died")
        self.tale.tell(44, "broker.2", "born")
        self.tale.tell(44, "broker.2", "ready", epoch=2)
        self.tale.parts = [replace(self.tale.parts[0], ended=WALL + 45)]
        self.breaks()

    def test_stale(self) -> None:
        """
        The result of the first attempt became the verdict of the second.
        """
        self.tale.record = replace(self.tale.record, attempts=2)
        self.tale.parts = [replace(self.tale.parts[0], attempt=2, agent="a2")]
        self.tale.deliver(1.5, FIRST, 1)
        self.tale.begin(1.6, "a1.1", 1)
        self.tale.end(6.0, "a1.1", 1)
        self.tale.deliver(6.1, SECOND, 2)
        self.tale.begin(6.2, "a2.1", 2)
        self.tale.end(6.3, "a2.1", 2)
        self.tale.answered(7.0, 2, "WAIT", number=JOB, outcome=[outcome(attempts=2, agent="a2")])
        self.breaks(promises.no_stale_answer)

    def test_from_nowhere(self) -> None:
        """
        A part succeeded that nobody worked on.
        """
        self.tale.answered(3.1, 2, "WAIT", job=ID, number=JOB, outcome=[outcome()])
        self.breaks(promises.no_stale_answer)

    def test_failed_without_failure(self) -> None:
        """
        A part failed whose agent gave a result.
        """
        self.tale.verdict(Verdict.FAILED)
        self.tale.deliver(1.5, FIRST, 1)
        self.tale.begin(1.6, "a1.1", 1)
        self.tale.end(2.8, "a1.1", 1)
        said = outcome(verdict="failed", frames=())
        self.tale.answered(3.1, 2, "WAIT", job=ID, number=JOB, outcome=[said])
        self.breaks(promises.verdict_as_worked)

    def test_call_of_another(self) -> None:
        """
        A call was answered with what nobody computed for it.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "CALL", plan=evolve(PLAN, payload=(b"x",)))
        self.tale.answered(3.3, 3, "CALL", job="20", number=20, outcome=[outcome()])
        self.breaks(promises.calls_as_worked)

    def test_too_many_attempts(self) -> None:
        """
        A part that may be done once was given to two agents.
        """
        self.tale.deliver(1.3, SECOND, 1)
        self.tale.begin(1.4, "a2.1", 2)
        self.tale.end(1.5, "a2.1", 2, "cancelled")
        self.tale.work()
        self.breaks(promises.attempts_as_allowed)

    def test_begun_twice(self) -> None:
        """
        An agent did one attempt twice.
        """
        self.tale.record = replace(self.tale.record, attempts=2)
        self.tale.work()
        self.tale.begin(3.5, "a1.1", 1)
        self.breaks(promises.attempt_begun_once)

    def test_two_holders(self) -> None:
        """
        A part was given away while its agent was heard.
        """
        self.tale.record = replace(self.tale.record, attempts=2)
        self.tale.parts = [replace(self.tale.parts[0], attempt=2, agent="a2")]
        self.tale.deliver(1.5, FIRST, 1)
        self.tale.begin(1.6, "a1.1", 1)
        self.tale.hears(2.0, FIRST, "beat", held=[(PART, 1)])
        self.tale.deliver(2.1, SECOND, 2)
        self.tale.begin(2.2, "a2.1", 2)
        self.tale.end(2.3, "a2.1", 2)
        self.tale.end(2.4, "a1.1", 1)
        works = [entry for entry in self.tale.history.of("ended") if entry.who == "a2.1"]
        self.tale.results = [works[0].said["frames"]]
        said = outcome(attempts=2, agent="a2", frames=self.tale.results[0])
        self.tale.answered(3.0, 2, "WAIT", job=ID, number=JOB, outcome=[said])
        self.breaks(promises.one_holder)

    def test_lease_over(self) -> None:
        """
        When the lease is over a part may be given away, though the first
        agent is still at it.
        """
        self.tale.record = replace(self.tale.record, attempts=2)
        self.tale.parts = [replace(self.tale.parts[0], attempt=2, agent="a2")]
        self.tale.deliver(1.5, FIRST, 1)
        self.tale.begin(1.6, "a1.1", 1)
        self.tale.hears(2.0, FIRST, "beat", held=[(PART, 1)])
        self.tale.begin(6.2, "a2.1", 2)
        self.tale.end(6.3, "a2.1", 2)
        self.tale.results = [self.tale.history.of("ended")[0].said["frames"]]
        said = outcome(attempts=2, agent="a2", frames=self.tale.results[0])
        self.tale.answered(7.0, 2, "WAIT", job=ID, number=JOB, outcome=[said])
        self.breaks()

    def test_hole(self) -> None:
        """
        A partial result is missing.
        """
        self.tale.partial(1.3, 1)
        self.tale.partial(1.4, 3)
        self.tale.answered(3.1, 2, "WAIT", job=ID, number=JOB, outcome=[outcome()])
        self.assertEqual(len(judge(self.tale.told(), [promises.partials_in_order])), 1)

    def test_double(self) -> None:
        """
        A partial result came twice.
        """
        self.tale.work()
        self.tale.partial(3.05, 1)
        self.breaks(promises.partials_in_order)

    def test_attempt_back(self) -> None:
        """
        A partial result of an attempt that is over came after one of the
        next.
        """
        self.tale.work()
        self.tale.partial(3.0, 1, attempt=2)
        self.tale.partial(3.0, 2, attempt=1)
        self.breaks(promises.partials_in_order)

    def not_told(self, asked: float) -> None:
        """
        Somebody waits in calm, and is not told a partial result.
        """
        self.tale.parts = [replace(self.tale.parts[0], ended=WALL + 3.05)]
        self.tale.tell(1.25, "world", "calm")
        self.tale.asks(asked, 3, "WAIT", job=ID, stream=True)
        self.tale.work()
        self.tale.answered(3.2, 3, "WAIT", job=ID, number=JOB, outcome=[outcome()])

    def test_partials_missing(self) -> None:
        """
        Somebody who waited in calm was not told a partial result.
        """
        self.not_told(1.5)
        self.breaks(promises.partials_complete)

    def test_partials_missed(self) -> None:
        """
        Who asks just after the broker has started may be heard too late.
        """
        self.not_told(1.4)
        self.assertEqual(list(promises.partials_complete(self.tale.told())), [])

    def test_not_kept(self) -> None:
        """
        An agent finished a part that expired long after.
        """
        self.tale.verdict(Verdict.EXPIRED, ended=WALL + 38)
        self.tale.tell(1.3, "world", "calm")
        self.tale.deliver(1.5, FIRST, 1)
        self.tale.begin(1.6, "a1.1", 1)
        self.tale.end(2.8, "a1.1", 1)
        said = outcome(verdict="expired", frames=())
        self.tale.answered(38.1, 2, "WAIT", job=ID, number=JOB, outcome=[said])
        self.breaks(promises.kept_until_told)
        # Unless that was worth another attempt, which never came.
        self.tale.events.append(self.tale.event("part.failed"))
        self.assertEqual(list(promises.kept_until_told(self.tale.told())), [])

    # -- Agents, restarts and answers

    def test_no_answer(self) -> None:
        """
        A question was never answered.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "STATS")
        self.breaks(sureties.every_question_answered)

    def test_two_answers(self) -> None:
        """
        A question was answered twice.
        """
        self.tale.work()
        self.tale.answered(3.2, 2, "WAIT", job=ID, number=JOB, outcome=[outcome()])
        self.breaks(sureties.every_question_answered)

    def test_dead_client(self) -> None:
        """
        Who died needs no answer.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "STATS")
        self.tale.tell(3.3, "c1.1", "died")
        self.breaks()

    def test_internal_error(self) -> None:
        """
        A question was refused for a reason that there must not be.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "CANCEL", job=ID, index=None)
        self.tale.refused(3.3, 3, "CANCEL", "internal-error")
        self.breaks(sureties.refused_for_a_reason)

    def test_refused_in_calm(self) -> None:
        """
        Nobody has a reason to be silent when the trouble is over.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "STATS")
        self.tale.refused(3.3, 3, "STATS", "broker-lost")
        self.breaks()
        self.tale.tell(3.4, "world", "calm")
        self.tale.asks(3.5, 4, "STATS")
        self.tale.refused(3.6, 4, "STATS", "broker-lost")
        self.breaks(sureties.refused_for_a_reason)

    def test_unknown_job(self) -> None:
        """
        Somebody was told that an accepted job does not exist.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "WAIT", job=ID, stream=False)
        self.tale.refused(3.3, 3, "WAIT", "no-such-job")
        self.breaks(sureties.refused_for_a_reason)

    def test_new_twice(self) -> None:
        """
        The same id was accepted as new for the second time.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "SUBMIT", job=ID, plan=PLAN)
        self.tale.answered(3.3, 3, "SUBMIT", job=ID, number=JOB, parts=1, existing=False)
        self.breaks(sureties.same_id_same_job)

    def test_another_job_of_that_id(self) -> None:
        """
        Another job was accepted under the same id.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "SUBMIT", job=ID, plan=evolve(PLAN, payload=(b"other",)))
        self.tale.answered(3.3, 3, "SUBMIT", job=ID, number=JOB, parts=1, existing=True)
        self.breaks(sureties.same_id_same_job)

    def test_number_again(self) -> None:
        """
        A part has the number of another one.
        """
        self.tale.work()
        self.tale.begin(3.5, "a2.1", 2, job="20")
        told = [breach.promise for breach in judge(self.tale.told())]
        self.assertIn(title(sureties.numbers_never_again), told)

    def test_job_number_again(self) -> None:
        """
        A call has the number of a job.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "CALL", plan=PLAN)
        self.tale.answered(3.3, 3, "CALL", job="10", number=JOB, outcome=[])
        self.breaks(sureties.numbers_never_again)

    def test_agent_renumbered(self) -> None:
        """
        An agent has another number than before.
        """
        self.tale.work()
        self.tale.says(3.2, FIRST, "welcome", number=3, epoch=1)
        self.breaks(sureties.agents_keep_their_numbers)

    def test_agents_of_one_number(self) -> None:
        """
        An agent has the number of another one.
        """
        self.tale.work()
        third = "3" * 32
        self.tale.tell(3.2, "a3.1", "incarnation", agent=third)
        self.tale.says(3.3, third, "welcome", number=2, epoch=1)
        self.breaks(sureties.agents_keep_their_numbers)

    def test_same_epoch(self) -> None:
        """
        Two lives of the broker have one epoch.
        """
        self.tale.work()
        self.tale.tell(4.0, "broker.2", "ready", epoch=1)
        self.breaks(sureties.epochs_grow)

    def test_work_for_a_suspect(self) -> None:
        """
        After a restart an agent was given work that had not been heard.
        """
        self.tale.work()
        self.tale.tell(4.0, "broker.1", "died")
        self.tale.tell(4.0, "broker.2", "ready", epoch=2)
        self.tale.deliver(4.1, FIRST, 1, who="broker.2")
        self.breaks(sureties.nothing_for_suspects)

    def test_lost_for_nothing(self) -> None:
        """
        An attempt was lost whose agent was heard all the time.
        """
        self.tale.verdict(Verdict.LOST)
        self.tale.hears(1.4, FIRST, "beat", held=[])
        self.tale.deliver(1.5, FIRST, 1)
        self.tale.begin(1.6, "a1.1", 1)
        for at in (2.0, 2.5, 3.0):
            self.tale.hears(at, FIRST, "beat", held=[(PART, 1)])
        self.tale.end(3.2, "a1.1", 1)
        self.tale.hears(3.3, FIRST, "result", part=PART, attempt=1)
        said = outcome(verdict="lost", frames=())
        self.tale.answered(3.4, 2, "WAIT", job=ID, number=JOB, outcome=[said])
        self.breaks(sureties.lost_for_a_reason)

    def test_lost_for_a_reason(self) -> None:
        """
        An attempt may be lost whose agent died.
        """
        self.tale.verdict(Verdict.LOST)
        self.tale.deliver(1.5, FIRST, 1)
        self.tale.begin(1.6, "a1.1", 1)
        self.tale.tell(2.0, "a1.1", "died")
        said = outcome(verdict="lost", frames=())
        self.tale.answered(5.0, 2, "WAIT", job=ID, number=JOB, outcome=[said])
        self.breaks()

    def test_forgotten_agent(self) -> None:
        """
        An agent was not known any more though it had just been heard.
        """
        self.tale.work()
        self.tale.hears(3.2, FIRST, "beat", held=[])
        self.tale.hears(3.6, FIRST, "beat", held=[])
        self.tale.says(3.6, FIRST, "reregister")
        self.breaks(sureties.known_while_heard)

    def test_forgotten_asleep(self) -> None:
        """
        While the broker is frozen it cannot hear, and no lease is over.
        """
        self.tale.work()
        self.tale.tell(3.0, "broker.1", "freeze", seconds=5.0)
        self.tale.hears(8.2, FIRST, "beat", held=[])
        self.tale.says(8.2, FIRST, "reregister")
        self.breaks(sureties.known_while_heard)

    def test_silent_agent(self) -> None:
        """
        An agent that was silent, or had taken leave, may be forgotten.
        """
        self.tale.work()
        self.tale.hears(8.2, FIRST, "beat", held=[])
        self.tale.says(8.2, FIRST, "reregister")
        self.tale.hears(8.3, SECOND, "unregister")
        self.tale.hears(8.4, SECOND, "beat", held=[])
        self.tale.says(8.4, SECOND, "reregister")
        self.breaks()

    def test_stranger_among_others(self) -> None:
        """
        What others say meanwhile does not make an agent known.
        """
        self.tale.work()
        beat = self.tale.hears(3.2, FIRST, "beat", held=[])
        self.tale.tell(3.2, "a2.1", "progress")
        self.tale.says(3.2, FIRST, "reregister")
        self.assertTrue(self.tale.told().stranger(beat))
        self.breaks(sureties.known_while_heard)

    def test_delivered_after_cancel(self) -> None:
        """
        A part was delivered though its job was cancelled.
        """
        self.tale.asks(1.3, 3, "CANCEL", job=ID, index=None)
        self.tale.answered(1.4, 3, "CANCEL", job=ID, value=1)
        self.tale.work()
        self.breaks(sureties.cancelled_is_not_delivered)

    def test_bug(self) -> None:
        """
        Something was logged as a bug.
        """
        self.tale.work()
        self.tale.broken.append("Bug 1 in WAIT")
        self.breaks(sureties.nothing_broke)

    def test_no_start(self) -> None:
        """
        A broker could not start.
        """
        self.tale.work()
        self.tale.tell(4.0, "broker.2", "unready", reason="No.")
        self.breaks(sureties.nothing_broke)

    def test_job_by_id(self) -> None:
        """
        A job is found by its id.
        """
        evidence = self.tale.told()
        found = evidence.by_id(ID)
        assert isinstance(found, Stored)
        self.assertEqual(found.results, (RESULT,))
        self.assertIsNone(evidence.by_id("j2"))
