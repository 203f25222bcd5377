"""
Tests of L{jobroute.wire.native}.
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
from jobroute.errors import BadMessage, BadVersion, Busy, JobrouteError, NoSuchJob, TooLarge
from jobroute.wire.native import (
    Malformed,
    decode_answer,
    decode_request,
    encode_answer,
    encode_error,
    encode_request,
    split,
)
from tests.wire.strategies import EVIL, FRAMES, VALUES, jsons

LIMITS = Limits()


def naive_integers(value: Any) -> bool:
    """
    Whether all whole numbers of a value fit 64 bits; others come as decimal
    numbers.
    """
    if isinstance(value, dict):
        return all(map(naive_integers, value.values()))
    if isinstance(value, list):
        return all(map(naive_integers, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


class EnvelopeTests(SynchronousTestCase):
    """
    The envelope.
    """

    def test_forms(self) -> None:
        """
        REQ and DEALER, with the empty frame and without, and over hops.
        """
        for envelope, rest in (
            ([b"id", b""], [b"{}", b"p"]),
            ([b"id", b""], [b"{}", b"", b"p"]),
            ([b"id", b""], [b"{}"]),
            ([b"id"], [b"{}", b"p"]),
            ([b"id"], [b"{}"]),
            ([b"id", b"hop1", b"hop2", b""], [b"{}", b"", b"p"]),
            ([b"id", b""], []),
            ([b"id"], []),
            ([], []),
        ):
            self.assertEqual(split([*envelope, *rest]), (envelope, rest))


class RequestTests(SynchronousTestCase):
    """
    Requests.
    """

    def refused(self, frames: list[bytes], limits: Limits = LIMITS) -> Malformed:
        """
        Why these are no request.
        """
        error: Malformed = self.assertRaises(Malformed, decode_request, frames, limits)
        return error

    def test_request(self) -> None:
        """
        A request, with everything.
        """
        body = b'{"version": 1, "id": [1, 2], "command": "CALL", "service": "s"}'
        request = decode_request([b"me", b"", body, b"p", b""], LIMITS)
        self.assertEqual(
            (request.envelope, request.command, bytes(request.id), request.body, request.payload),
            ([b"me", b""], "CALL", b"[1, 2]", body, (b"p", b"")),
        )

    def test_refused(self) -> None:
        """
        What is none, with its reason and its id, if it has one.
        """
        for body, kind, id in (
            (b"", BadMessage, b""),
            (b"[]", BadMessage, b""),
            (b'{"id": 7}', BadMessage, b"7"),
            (b'{"id": 7, "command": ""}', BadMessage, b"7"),
            (b'{"id": 7, "command": 8}', BadMessage, b"7"),
            (b'{"id": 7, "command": "PING", "version": 2}', BadVersion, b"7"),
            (b'{"id": 7, "command": "PING", "version": true}', BadMessage, b"7"),
            (b'{"id": 7, "command": "PING"', BadMessage, b""),
        ):
            malformed = self.refused([b"me", b"", body])
            self.assertIs(type(malformed.reason), kind, body)
            self.assertEqual((malformed.envelope, bytes(malformed.id)), ([b"me", b""], id))

    def test_no_body(self) -> None:
        """
        Nothing behind the envelope; not even an envelope.
        """
        self.assertEqual(str(self.refused([b"me", b""])), "The message has no JSON object.")
        self.assertEqual(self.refused([]).envelope, [])

    def test_limits(self) -> None:
        """
        At each limit, and one past it: the header, the frames, the bytes,
        the depth.  The id is echoed where it can be.
        """
        body = b'{"id": 1, "command": "PING", "header": [[[[]]]]}'
        exact = {"header": 1024, "frames": 5, "message": len(body) + 10, "depth": 5}
        frames = [b"me", b"", body, b"12345", b"123"]
        limits = Limits(**exact)
        decode_request(frames, limits)
        for name, least in (("message", 1), ("frames", 4), ("depth", 4)):
            malformed = self.refused(frames, evolve(limits, **{name: exact[name] - 1}))
            self.assertIs(type(malformed.reason), TooLarge, name)
            self.assertEqual(bytes(malformed.id), b"" if name == "depth" else b"1")
            self.assertGreaterEqual(exact[name] - 1, least)
        for padding, wrong in ((1024 - len(body), False), (1025 - len(body), True)):
            long = [b"me", b"", body[:-1] + b" " * padding + b"}"]
            whole = evolve(limits, message=10_000)
            if wrong:
                self.assertIs(type(self.refused(long, whole).reason), TooLarge)
            else:
                decode_request(long, whole)

    def test_envelope_counts(self) -> None:
        """
        A large envelope is a large message.
        """
        limits = Limits(message=100)
        malformed = self.refused([b"me", b"x" * 100, b"", b'{"command": "PING"}'], limits)
        self.assertIs(type(malformed.reason), TooLarge)

    @settings(max_examples=100, deadline=None)
    @given(jsons() | st.sampled_from([b"1e999", b"-0", b"1.0", b'"\\u00e9"', b"[ ]", b"9" * 50]))
    def test_id_of_any_type(self, id: bytes) -> None:
        """
        An id of any type comes back byte for byte.
        """
        body = b'{"command": "PING", "id": ' + id + b" }"
        request = decode_request([b"me", body], LIMITS)
        self.assertEqual(bytes(request.id), id)
        for frames in (
            encode_answer(request.envelope, request.id, "result", None, (), True),
            encode_error(request.envelope, request.id, NoSuchJob("None.")),
        ):
            self.assertTrue(frames[1].startswith(b'{"id":' + id + b","), frames)

    @settings(max_examples=200, deadline=None)
    @given(FRAMES | EVIL.map(lambda body: [b"me", b"", body]))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        Any frames at all are a request, or refused with an error that can be
        told.
        """
        limits = Limits(header=2000, message=5000, frames=5)
        try:
            decode_request(frames, limits)
        except Malformed as e:
            self.assertIsInstance(e.reason, JobrouteError)
            answer = encode_error(e.envelope, e.id, e.reason)
            self.assertEqual(answer[:-1], e.envelope)
            if b"e999" not in bytes(e.id):
                self.assertIn("error", json.loads(answer[-1]))


class RoundTests(SynchronousTestCase):
    """
    What is encoded decodes to itself.
    """

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 2**53),
        st.dictionaries(st.sampled_from(["service", "header", "x"]), VALUES),
        st.lists(st.binary(max_size=9), max_size=4),
    )
    def test_request(self, id: int, properties: dict[str, Any], payload: list[bytes]) -> None:
        """
        Requests.
        """
        frames = encode_request(id, "CALL", properties, payload)
        request = decode_request([b"me", *frames], LIMITS)
        self.assertEqual((request.command, bytes(request.id)), ("CALL", str(id).encode()))
        self.assertEqual(request.payload, tuple(payload))
        said = json.loads(request.body)
        self.assertEqual({k: said[k] for k in properties}, properties)

    @settings(max_examples=60, deadline=None)
    @given(
        st.none() | st.integers(0, 2**53),
        st.sampled_from(["result", "progress", "partial", "part"]),
        VALUES.filter(naive_integers),
        st.lists(st.binary(max_size=9), max_size=4),
        st.booleans(),
    )
    def test_answer(
        self, id: int | None, kind: str, value: Any, payload: list[bytes], final: bool
    ) -> None:
        """
        Answers.
        """
        raw = Raw(b"" if id is None else str(id).encode())
        frames = encode_answer([b"me", b""], raw, kind, value, tuple(payload), final)
        answer = decode_answer(frames[1:])
        self.assertEqual((answer.id, answer.final, answer.payload), (id, final, tuple(payload)))
        self.assertEqual(getattr(answer, kind), value)

    def test_error(self) -> None:
        """
        Errors.
        """
        busy = encode_error([b"me", b""], Raw(b"7"), Busy("Later.", 2.5))
        self.assertEqual(decode_answer(busy[1:]).retry_after, 2.5)
        frames = encode_error([b"me", b""], Raw(b"7"), NoSuchJob("There is none."))
        self.assertIsNone(decode_answer(frames[1:]).retry_after)
        answer = decode_answer(frames[1:])
        self.assertEqual(
            (answer.id, answer.error, answer.code, answer.final),
            (7, "There is none.", "no-such-job", True),
        )

    @settings(max_examples=100, deadline=None)
    @given(FRAMES)
    def test_any_answer(self, frames: list[bytes]) -> None:
        """
        Any frames at all are an answer, or refused.
        """
        try:
            decode_answer(frames)
        except BadMessage:
            pass
