"""
Agents: they take jobs from a broker and answer them.
"""

from jobroute.agent.agent import Agent
from jobroute.agent.context import Context
from jobroute.agent.functions import Failed, Refuse, service

__all__ = ["Agent", "Context", "Failed", "Refuse", "service"]
