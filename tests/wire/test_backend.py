"""
Tests of L{jobroute.wire.backend}.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.errors import BadMessage, BadVersion, TooLarge
from jobroute.interfaces import Delivery
from jobroute.model import Announcement
from jobroute.wire.backend import (
    decode_agent_message,
    decode_announcement,
    decode_beat,
    decode_broker_message,
    encode_agent_message,
    encode_announcement,
    encode_beat,
    encode_broker_message,
    encode_delivery,
)
from tests.wire.strategies import EVIL, FRAMES, NAMES, jsons

LIMITS = Limits()

INCARNATION = "0123456789abcdef" * 2

ANNOUNCEMENTS = st.builds(
    Announcement,
    NAMES,
    st.just(INCARNATION),
    st.lists(NAMES, min_size=1, max_size=4, unique=True).map(tuple),
    st.integers(1, 100),
    st.integers(0, 100),
    st.integers(0, 2**31),
    st.text(max_size=9),
    st.text(max_size=9),
    st.dictionaries(NAMES, st.text(max_size=9), max_size=4),
)

DELIVERIES = st.builds(
    Delivery,
    st.integers(1, 2**62),
    st.integers(1, 2**31),
    NAMES,
    st.integers(0, 9),
    NAMES,
    jsons(),
    st.none() | st.floats(0.001, 1e6),
    st.booleans(),
    st.lists(st.binary(max_size=9), max_size=3).map(tuple),
)

WHOLE = Announcement("a", INCARNATION, ("s", "t"), 3, 1, 7, "h", "v", {"r": "1", "q": "2"})


class AnnouncementTests(SynchronousTestCase):
    """
    What is said on register.
    """

    def test_least(self) -> None:
        """
        What is required, and the defaults of the rest.
        """
        said = {
            "version": 1,
            "name": "a",
            "incarnation": INCARNATION,
            "services": ["s"],
            "slots": 2,
        }
        decoded = decode_announcement([b"REGISTER", json.dumps(said).encode()], LIMITS)
        self.assertEqual(decoded, Announcement("a", INCARNATION, ("s",), 2))
        for name in said:
            less = {k: v for k, v in said.items() if k != name}
            error = self.assertRaises(
                BadMessage, decode_announcement, [b"REGISTER", json.dumps(less).encode()], LIMITS
            )
            self.assertEqual(str(error), f"{name} is missing.")

    def test_refused(self) -> None:
        """
        What is wrong is said by name.
        """
        said = json.loads(encode_announcement(WHOLE)[1])
        for name, wrong in (
            ("version", 2), ("version", True), ("name", ""), ("name", "x" * 129), ("name", "a b"),
            ("incarnation", "0" * 31), ("incarnation", "0" * 33), ("incarnation", "A" * 32),
            ("incarnation", "0" * 31 + "\n"), ("incarnation", 7), ("services", []),
            ("services", ["s", "s"]), ("services", "s"), ("services", ["~"]), ("slots", 0),
            ("slots", True), ("slots", 1.5), ("slots", -1), ("prefetch", -1), ("pid", -1),
            ("hostname", "h" * 256), ("labels", []), ("labels", {"~": "x"}), ("labels", {"a": 1}),
            ("labels", {"a": "x" * 257}),
        ):  # fmt: skip
            body = json.dumps({**said, name: wrong}).encode()
            error = self.assertRaises(BadMessage, decode_announcement, [b"REGISTER", body], LIMITS)
            self.assertIn(name, str(error), (name, wrong))
            self.assertEqual(type(error) is BadVersion, wrong == 2 and name == "version")

    def test_frames(self) -> None:
        """
        Two frames, the first of which says it.
        """
        good = encode_announcement(WHOLE)
        for frames in ([], good[:1], good[1:], [*good, b""], [b"register", good[1]]):
            self.assertRaises(BadMessage, decode_announcement, frames, LIMITS)

    def test_limits(self) -> None:
        """
        At each limit, and one past it.
        """
        exact = Limits(agent_services=2, labels=2, slots=4)
        frames = encode_announcement(WHOLE)
        self.assertEqual(decode_announcement(frames, exact), WHOLE)
        for name, limit in (("agent_services", 1), ("labels", 1), ("slots", 3)):
            less = evolve(exact, **{name: limit})
            error = self.assertRaises(TooLarge, decode_announcement, frames, less)
            self.assertIn(f"is over the limit of {limit}.", str(error))

    @settings(max_examples=60, deadline=None)
    @given(ANNOUNCEMENTS)
    def test_round(self, announcement: Announcement) -> None:
        """
        What is encoded decodes to itself.
        """
        self.assertEqual(
            decode_announcement(encode_announcement(announcement), LIMITS), announcement
        )

    @settings(max_examples=100, deadline=None)
    @given(FRAMES | EVIL.map(lambda body: [b"REGISTER", body]))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Any frames at all are an announcement, or refused.
        """
        try:
            decode_announcement(frames, LIMITS)
        except BadMessage as e:
            self.assertTrue(str(e).endswith("."), str(e))


class AgentMessageTests(SynchronousTestCase):
    """
    What agents say.
    """

    def refused(self, *frames: bytes, limits: Limits = LIMITS) -> BadMessage:
        """
        Why it is refused.
        """
        error: BadMessage = self.assertRaises(
            BadMessage, decode_agent_message, list(frames), limits
        )
        return error

    def test_attempt_named(self) -> None:
        """
        What is about an attempt must name it, and a partial result its number.
        """
        kinds = "started progress partial result failure refused cancelled released"
        for kind in kinds.split():
            for part, attempt in ((0, 1), (1, 0), (0, 0)):
                said = encode_agent_message(kind, part=part, attempt=attempt, sequence=1)
                self.assertEqual(
                    str(self.refused(*said)), f"{kind} must name its part and attempt, from 1."
                )
            said = encode_agent_message(kind, part=1, attempt=1, sequence=1)
            self.assertEqual(decode_agent_message(said, LIMITS).message, kind)
        said = encode_agent_message("partial", part=1, attempt=1)
        self.assertEqual(str(self.refused(*said)), "partial must have its sequence, from 1.")

    def test_progress(self) -> None:
        """
        Progress of any type comes as it is, if others can read it.
        """
        said = b'{"message": "progress", "part": 1, "attempt": 1, "value": %s}'
        for value in (b'{"a" : [1, null]}', b'"\\u00e9"', b"1e3", b"null"):
            decoded = decode_agent_message([said % value], LIMITS)
            self.assertEqual(bytes(decoded.value), value)
        self.refused(said % b"1e999")
        self.assertEqual(
            bytes(decode_agent_message(encode_agent_message("beat"), LIMITS).value), b"null"
        )

    def test_limits(self) -> None:
        """
        At each limit, and one past it.
        """
        said = encode_agent_message("result", [b"123", b"45"], part=1, attempt=1)
        said.append(b"6")
        exact = Limits(frames=4, message=len(said[0]) + 6)
        self.assertEqual(decode_agent_message(said, exact).payload, (b"123", b"45", b"6"))
        self.assertIs(type(self.refused(*said, b"", limits=exact)), TooLarge)
        less = evolve(exact, message=exact.message - 1)
        self.assertIs(type(self.refused(*said, limits=less)), TooLarge)
        reason = encode_agent_message("failure", part=1, attempt=1, reason="x" * 65536)
        decode_agent_message(reason, LIMITS)
        self.refused(*encode_agent_message("failure", part=1, attempt=1, reason="x" * 65537))
        self.refused(*encode_agent_message("pong", nonce="x" * 65))
        self.refused()

    def test_held(self) -> None:
        """
        What is held is named in pairs.
        """
        said = encode_agent_message("beat", held=[(1, 2), (3, 4)])
        self.assertEqual(decode_agent_message(said, LIMITS).held, [(1, 2), (3, 4)])
        wrong: list[Any] = [[1], [[1]], [[1, 2, 3]], [[1, -2]], [[1, True]], [["1", 2]], {}, "ab"]
        for held in wrong:
            self.refused(*encode_agent_message("beat", held=held))

    def test_unknown_members(self) -> None:
        """
        Members that are not known may come with a later version.
        """
        said = encode_agent_message("beat", held=[], mood="good")
        self.assertEqual(decode_agent_message(said, LIMITS).message, "beat")
        self.refused(*encode_agent_message("sing"))

    @settings(max_examples=200, deadline=None)
    @given(FRAMES | EVIL.map(lambda body: [body]))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Any frames at all are a message, or refused.
        """
        try:
            decode_agent_message(frames, LIMITS)
        except BadMessage as e:
            self.assertTrue(str(e).endswith("."), str(e))


class BrokerMessageTests(SynchronousTestCase):
    """
    What the broker says.
    """

    @settings(max_examples=60, deadline=None)
    @given(DELIVERIES)
    def test_delivery(self, delivery: Delivery) -> None:
        """
        A delivery decodes to itself, its header byte for byte.
        """
        frames = encode_delivery(b"me", delivery, [(1, 2), (3, 4, 5)])
        self.assertEqual(frames[0], b"me")
        m = decode_broker_message(frames[1:])
        header = bytes(m.header)
        decoded = (m.part, m.attempt, m.job, m.index, m.service, header, m.run_limit, m.volatile)
        self.assertEqual(Delivery(*decoded, m.payload), delivery)
        self.assertEqual((m.message, m.ack), ("deliver", [[1, 2], [3, 4, 5]]))

    def test_others(self) -> None:
        """
        All others.
        """
        for message, members in (
            ("ping", {"nonce": "7"}),
            ("pong", {"epoch": 3}),
            (
                "welcome",
                {"number": 1, "epoch": 3, "interval": 2.0, "liveness": 5, "held": [(1, 2)]},
            ),
            ("refuse", {"code": "busy", "error": "No."}),
            ("ack", {"attempts": [[1, 2], [1, 2, 3]]}),
            ("farewell", {"wait": 1.5}),
            ("input", {"part": 1, "attempt": 2}),
        ):
            frames = encode_broker_message(b"me", message, (b"p",), **members)
            decoded = decode_broker_message(frames[1:])
            self.assertEqual((decoded.message, decoded.payload), (message, (b"p",)))
            for name, value in members.items():
                self.assertEqual(getattr(decoded, name), value)

    def test_default_header(self) -> None:
        """
        A message without a header has none.
        """
        self.assertEqual(
            decode_broker_message(encode_broker_message(b"", "ping")[1:]).header, Raw(b"null")
        )

    @settings(max_examples=100, deadline=None)
    @given(FRAMES | EVIL.map(lambda body: [body]))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Any frames at all are a message, or refused.
        """
        try:
            decode_broker_message(frames)
        except BadMessage:
            pass


class BeatTests(SynchronousTestCase):
    """
    The broker's heartbeat.
    """

    def test_round(self) -> None:
        """
        A beat decodes to itself.
        """
        beat = decode_beat(encode_beat(3, 2.5, 4711))
        self.assertEqual((beat.epoch, beat.interval, beat.pid), (3, 2.5, 4711))

    @settings(max_examples=60, deadline=None)
    @given(FRAMES | EVIL.map(lambda body: [b"BEAT", body]))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Any frames at all are a beat, or refused.
        """
        try:
            decode_beat(frames)
        except BadMessage:
            pass
