"""
The client core under loss, duplication, restarts, and anything at all.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.client.rig import Rig


class ChaosTests(SynchronousTestCase):
    """
    Whatever comes, and whatever does not.
    """

    @settings(deadline=None)
    @given(st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=8))
    def test_any_frames(self, messages: list[list[bytes]]) -> None:
        """
        No frames whatever make the core raise.
        """
        rig = Rig()
        rig.call("echo")
        for frames in messages:
            rig.core.received(frames, rig.clock.now)
        rig.exchange()
        self.assertEqual(len(rig.finished), 1)

    @settings(deadline=None)
    @given(
        st.integers(1, 4),
        st.sampled_from(["id", "result", "error", "progress", "partial", "part", "final"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["job", "index", "parts", "verdict", "frames", "epoch", "number"]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ),
        st.booleans(),
        st.lists(st.binary(max_size=3), max_size=3),
    )
    def test_any_answer(
        self, id: int, kind: str, value: Any, final: bool, payload: list[bytes]
    ) -> None:
        """
        No answer whatever makes it raise, and each request ends at most once.
        """
        rig = Rig()
        rig.call("story", callbacks=(repr, repr, repr))
        rig.send(rig.asking.jobs(None, None, None, None, 100, None))
        body = msgspec.json.encode({"id": id, "final": final, kind: value})
        rig.core.received([b"", body, *payload], rig.clock.now)
        rig.core.received([b"", body, *payload], rig.clock.now)
        rig.advance(100)
        self.assertTrue(all(rig.finished.count(r) == 1 for r in rig.finished))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.floats(0, 0.6), st.floats(0, 0.3))
    def test_exactly_one_outcome(self, seed: int, loss: float, duplication: float) -> None:
        """
        Whatever is lost, comes twice, or is forgotten in restarts: each
        request gets exactly one outcome, and no call is done twice.
        """
        rig = Rig(seed=seed)
        random = Random(seed)
        requests = []
        calls: list[str] = []
        for step in range(60):
            if step < 20:
                service = random.choice(["echo", "hold", "busy", "story"])
                retry = random.random() < 0.5
                begin = random.choice([rig.call, rig.submit])
                requests.append(begin(service, timeout=random.choice([None, 5]), retry=retry))
            if random.random() < 0.1:
                rig.broker.restart()
            for job in list(rig.broker.jobs):
                if random.random() < 0.2:
                    rig.broker.release(job)
            for frames in rig.outgoing():
                body = json.loads(frames[1])
                if body["command"] == "CALL" and body["service"] != "busy":
                    calls.append(body["token"])
                for _ in range(1 + (random.random() < duplication)):
                    if random.random() >= loss:
                        rig.broker.received([b"client", *frames])
            rig.answers = [
                frames
                for frames in rig.answers
                for _ in range(1 + (random.random() < duplication))
                if random.random() >= loss
            ]
            rig.deliver()
            rig.clock.now += random.random() * 3
            rig.core.due(rig.clock.now)
        for job in list(rig.broker.jobs):
            rig.broker.release(job)
        rig.alive = random.random() < 0.5
        rig.advance(200)
        for request in requests:
            self.assertEqual(rig.finished.count(request), 1)
            self.assertNotEqual(request.error is None, request.value is None)
        self.assertEqual(rig.core.outstanding, 0)
        self.assertEqual(rig.core._by_id, {})
        self.assertEqual(len(calls), len(set(calls)))
