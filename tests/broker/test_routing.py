"""
Tests of L{jobroute.broker.routing}.
"""

from __future__ import annotations

from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jobroute.broker.routing import LeastLoaded
from jobroute.interfaces import ICandidate, IPolicy
from tests.broker.kit import Kit


@implementer(ICandidate)
@define(eq=False)
class Candidate:
    """
    An agent as a policy sees it.
    """

    name: str
    slots: int = 1
    prefetch: int = 0
    outstanding: int = 0
    used: int = 0

    @property
    def credit(self) -> int:
        """
        How many more it may be given.
        """
        return self.slots + self.prefetch - self.outstanding


class LeastLoadedTests(SynchronousTestCase):
    """
    Who is picked.
    """

    def test_interface(self) -> None:
        """
        The providers provide.
        """
        self.assertTrue(verifyObject(IPolicy, LeastLoaded()))
        self.assertTrue(verifyObject(ICandidate, Candidate("a")))

    def test_load(self) -> None:
        """
        Outstanding parts are divided by slots.
        """
        policy = LeastLoaded()
        for candidate in (
            Candidate("a", 2, 0, 1),
            Candidate("b", 10, 0, 4),
            Candidate("c", 1, 1, 1),
        ):
            policy.add(candidate)
        picked = policy.pick()
        assert picked is not None
        self.assertEqual(picked.name, "b")

    def test_ties(self) -> None:
        """
        Among equals it is the one that was used least recently.
        """
        policy = LeastLoaded()
        candidates = [Candidate("a", used=3), Candidate("b", used=1), Candidate("c", used=2)]
        for candidate in candidates:
            policy.add(candidate)
        order: list[str] = []
        for used in range(4, 10):
            picked = policy.pick()
            assert isinstance(picked, Candidate)
            picked.used = used
            order.append(picked.name)
        self.assertEqual(order, ["b", "c", "a", "b", "c", "a"])

    def test_nobody(self) -> None:
        """
        Nobody is picked without credit, or who was removed.
        """
        policy = LeastLoaded()
        full, gone = Candidate("full", 1, 0, 1), Candidate("gone")
        policy.add(full)
        policy.add(gone)
        policy.remove(gone)
        policy.changed(gone)
        self.assertIs(policy.pick(), None)
        full.outstanding = 0
        policy.changed(full)
        self.assertIs(policy.pick(), full)

    def test_best(self) -> None:
        """
        The best of some, with credit or without.
        """
        some = [Candidate("a", 1, 0, 1), Candidate("b", 2, 0, 1), Candidate("c")]
        best = LeastLoaded().best(some, 2)
        self.assertEqual([c.name for c in best], ["c", "b"])

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 7), st.integers(0, 2)), min_size=1, max_size=5),
        st.lists(
            st.tuples(
                st.sampled_from(["pick", "pick", "done", "remove", "add"]), st.integers(0, 4)
            ),
            max_size=80,
        ),
    )
    def test_naive(self, sizes: list[tuple[int, int]], steps: list[tuple[str, int]]) -> None:
        """
        The lazy heap picks as good a candidate as a look at everybody.
        """
        policy = LeastLoaded()
        everybody = [Candidate(str(i), *size) for i, size in enumerate(sizes)]
        inside: set[Candidate] = set()
        used = 0
        for step, number in [("add", i) for i in range(len(sizes))] + steps:
            candidate = everybody[number % len(everybody)]
            if step == "add" and candidate not in inside:
                policy.add(candidate)
                inside.add(candidate)
            elif step == "remove":
                policy.remove(candidate)
                inside.discard(candidate)
            elif step == "done" and candidate.outstanding:
                candidate.outstanding -= 1
                policy.changed(candidate)
            elif step == "pick":
                ranks = [(c.outstanding / c.slots, c.used) for c in inside if c.credit > 0]
                picked = policy.pick()
                if picked is None:
                    self.assertEqual(ranks, [])
                    continue
                assert isinstance(picked, Candidate)
                self.assertEqual((picked.outstanding / picked.slots, picked.used), min(ranks))
                used += 1
                picked.outstanding += 1
                picked.used = used
            self.assertLessEqual(len(policy._heap), 64 + 5 * len(everybody))


class WhyTests(SynchronousTestCase):
    """
    Why a part waits.
    """

    def setUp(self) -> None:
        self.kit = Kit()

    def why(self, target: object = "any", **properties: object) -> tuple[str, str]:
        """
        Submit a job and ask why it is not done.
        """
        job = self.kit.submit(target=target, **properties).result["job"]
        (part,) = self.kit.ask("WHY", job=job).result["parts"]
        return part["code"], part["why"]

    def test_nobody(self) -> None:
        """
        Nobody offers the service.
        """
        self.kit.agent("a", "other")
        self.assertEqual(self.why(), ("no-agent", "No agent offers the service s."))

    def test_all_full(self) -> None:
        """
        All are full; the nearest miss is named.
        """
        self.kit.agent("a", slots=1, prefetch=1)
        self.kit.agent("b", slots=4)
        for _ in range(6):
            self.kit.call()
        self.assertEqual(
            self.why(),
            ("all-full", "2 agents offer the service s, and all are full: b holds 4 of 4."),
        )

    def test_none_ready(self) -> None:
        """
        Those who offer it are not ready.
        """
        self.kit.agent("a").drain()
        self.assertEqual(
            self.why(),
            ("none-ready", "1 agent offers the service s, and none is ready: a is draining."),
        )

    def test_none_of_the_named(self) -> None:
        """
        Others offer it than those that are named.
        """
        self.kit.agent("a", "other")
        self.kit.agent("b", "other")
        self.kit.agent("c")
        self.assertEqual(
            self.why({"agents": ["a", "b"], "count": 1}),
            ("no-named-agent", "None of a, b offers the service s; c does."),
        )

    def test_named(self) -> None:
        """
        The one that is named does not offer it, is full, not ready, or away.
        """
        kit = self.kit
        only = {"agents": ["a"]}
        agent = kit.agent("a")
        self.assertEqual(
            self.why(only, service="t"),
            ("not-offered", "Agent a does not offer the service t, but s."),
        )
        kit.call()
        full = "Agent a is full: it holds 1 of 1."
        self.assertEqual(self.why(only), ("agent-full", full))
        agent.drain()
        self.assertEqual(self.why(only), ("not-ready", "Agent a is draining."))
        kit.submit(job="waits", target=only)
        agent.leave()
        (part,) = kit.ask("WHY", job="waits").result["parts"]
        self.assertEqual(part["why"], "Agent a is not connected.")

    def test_held(self) -> None:
        """
        Of a part that an agent has, that is said.
        """
        agent = self.kit.agent("a")
        self.assertEqual(self.why(job="j"), ("running", "Agent a works on attempt 1."))
        self.kit.ask("CANCEL", job="j")
        (part,) = self.kit.ask("WHY", job="j").result["parts"]
        self.assertEqual(
            (part["code"], part["why"]),
            ("cancelling", "Agent a was asked to stop it and has not confirmed."),
        )
        agent.cancelled()
        self.assertEqual(self.kit.ask("WHY", job="j").result["parts"], [])

    def test_suspect(self) -> None:
        """
        Of a part whose agent was not heard since a restart, that is said.
        """
        self.kit.agent("a")
        self.kit.submit(job="j")
        self.kit.crash()
        (part,) = self.kit.ask("WHY", job="j").result["parts"]
        self.assertEqual(
            (part["code"], part["why"]),
            ("suspect", "Agent a has it, and was not heard since the broker started."),
        )
