"""
An agent that gives each payload back, to a broker or to a yardstick.
"""

from __future__ import annotations

import sys
from uuid import uuid4

import msgspec
import zmq

from jobroute.model import Announcement
from jobroute.wire.backend import (
    decode_broker_message,
    encode_agent_message,
    encode_announcement,
)

#: How many parts it takes at a time.
SLOTS = 1000


def echo(backend_url: str, register_url: str, name: str) -> None:
    """
    Answer for ever.

    @param register_url: empty for a yardstick, which is told with one
        message that the agent is there.
    """
    context = zmq.Context()
    backend = context.socket(zmq.DEALER)
    incarnation = uuid4().hex
    backend.identity = incarnation.encode()
    backend.sndhwm = backend.rcvhwm = 10_000
    backend.connect(backend_url)
    if register_url:
        register = context.socket(zmq.PUSH)
        register.connect(register_url)
        register.send_multipart(
            encode_announcement(Announcement(name, incarnation, ("echo",), SLOTS))
        )
    else:
        backend.send(b"here")
    encode = msgspec.json.Encoder().encode
    while True:
        if not backend.poll(500):
            if register_url:
                backend.send_multipart(encode_agent_message("beat", held=[]))
            continue
        frames = backend.recv_multipart()
        if not frames[0].startswith(b"{"):
            backend.send_multipart(frames)
            continue
        message = decode_broker_message(frames)
        if message.message == "deliver":
            head = encode({"message": "result", "part": message.part, "attempt": message.attempt})
            backend.send_multipart([head, *frames[1:]])
        elif message.message == "ping":
            backend.send_multipart(encode_agent_message("pong", nonce=message.nonce, held=[]))


if __name__ == "__main__":
    echo(*sys.argv[1:])
