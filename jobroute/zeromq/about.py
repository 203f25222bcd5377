# -*- test-case-name: tests.zeromq.test_about -*-
"""
Which ZeroMQ this is.
"""

from __future__ import annotations

import zmq


def version() -> str:
    """
    The version of libzmq.
    """
    return zmq.zmq_version()


def has(capability: str) -> bool:
    """
    Whether libzmq was built with something: C{ipc}, C{curve} …
    """
    return bool(zmq.has(capability))
