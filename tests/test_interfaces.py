"""
Tests of L{jobroute.interfaces}.
"""

from __future__ import annotations

import inspect
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.interface import InterfaceClass, Method
from zope.interface.verify import verifyClass

from jobroute import interfaces
from jobroute.broker.agents import Agents
from jobroute.broker.controller import Controller
from jobroute.broker.dispatcher import Dispatcher
from jobroute.broker.heartbeat import Heartbeat
from jobroute.broker.roster import Agent
from jobroute.broker.routing import LeastLoaded
from jobroute.clock import SystemClock
from jobroute.interfaces import (
    IAgentRoute,
    IAgents,
    ICandidate,
    IClock,
    IController,
    IDispatcher,
    IHeartbeat,
    IMessageFactory,
    IMessageProtocol,
    IPolicy,
    IReplyTo,
)
from jobroute.protocols.backend import AgentRoute, BackendProtocol
from jobroute.protocols.base import OneProtocol, SocketProtocol
from jobroute.protocols.frontend import FrontendProtocol, ReplyTo
from jobroute.protocols.heartbeat import HeartbeatProtocol
from jobroute.protocols.register import RegisterProtocol

ALL: list[InterfaceClass] = [
    found
    for found in vars(interfaces).values()
    if isinstance(found, InterfaceClass) and found is not Interface
]

PROVIDERS: list[tuple[InterfaceClass, type[Any]]] = [
    (IClock, SystemClock),
    (IController, Controller),
    (IDispatcher, Dispatcher),
    (IAgents, Agents),
    (IHeartbeat, Heartbeat),
    (IPolicy, LeastLoaded),
    (ICandidate, Agent),
    (IAgentRoute, AgentRoute),
    (IReplyTo, ReplyTo),
    (IMessageFactory, OneProtocol),
    *(
        (IMessageProtocol, protocol)
        for protocol in (
            SocketProtocol,
            FrontendProtocol,
            BackendProtocol,
            RegisterProtocol,
            HeartbeatProtocol,
        )
    ),
]


class InterfacesTests(SynchronousTestCase):
    """
    The seams.
    """

    def test_described(self) -> None:
        """
        Each interface, and all that is in it, says what it is.
        """
        self.assertGreater(len(ALL), 15)
        for interface in ALL:
            self.assertTrue(interface.getDoc().strip(), interface)
            for name, member in interface.namesAndDescriptions():
                self.assertTrue(member.getDoc().strip(), (interface, name))

    def test_providers(self) -> None:
        """
        Each provider of the broker has all methods, with the same names of
        arguments.
        """
        for interface, provider in PROVIDERS:
            verifyClass(interface, provider)
            for name, member in interface.namesAndDescriptions():
                if isinstance(member, Method) and provider is not SystemClock:
                    arguments = list(inspect.signature(getattr(provider, name)).parameters)
                    self.assertEqual(arguments[1:], list(member.getSignatureInfo()["positional"]))
