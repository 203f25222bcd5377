"""
The yardsticks: the least that a broker in Python can do, and libzmq's own
proxy.

The forwarder has a ROUTER for clients and a ROUTER for agents; each request
goes to the next agent in turn, and each answer back by the identity that
travels with it.  It decodes nothing, stores nothing and knows nobody.
"""

from __future__ import annotations

import sys
from itertools import cycle

import zmq


def forward(frontend_url: str, backend_url: str, agents: int) -> None:
    """
    Forward for ever, once so many agents have said that they are there.
    """
    context = zmq.Context()
    frontend, backend = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
    for socket, url in ((frontend, frontend_url), (backend, backend_url)):
        socket.sndhwm = socket.rcvhwm = 10_000
        socket.bind(url)
    names = cycle([backend.recv_multipart()[0] for _ in range(agents)])
    poller = zmq.Poller()
    poller.register(frontend, zmq.POLLIN)
    poller.register(backend, zmq.POLLIN)
    while True:
        for socket, _ in poller.poll():
            try:
                for _ in range(64):
                    frames = socket.recv_multipart(zmq.DONTWAIT)
                    if socket is frontend:
                        backend.send_multipart([next(names), *frames])
                    else:
                        frontend.send_multipart(frames[1:])
            except zmq.Again:
                pass


def proxy(frontend_url: str, backend_url: str) -> None:
    """
    Let libzmq forward for ever.
    """
    context = zmq.Context()
    frontend, backend = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    for socket, url in ((frontend, frontend_url), (backend, backend_url)):
        socket.sndhwm = socket.rcvhwm = 10_000
        socket.bind(url)
    zmq.proxy(frontend, backend)


if __name__ == "__main__":
    kind, frontend_url, backend_url, agents = sys.argv[1:]
    if kind == "proxy":
        proxy(frontend_url, backend_url)
    else:
        forward(frontend_url, backend_url, int(agents))
