"""
For testing what is built on jobroute, and jobroute itself.

L{cluster} makes a broker, agents and clients in simulated time; L{context}
is for testing a service function by itself.
"""

from jobroute.testing.cluster import Cluster, cluster
from jobroute.testing.contexts import LooseContext, context
from jobroute.testing.faces import SubmittedJob, VirtualClient
from jobroute.testing.machines import NeverDone

__all__ = [
    "Cluster",
    "LooseContext",
    "NeverDone",
    "SubmittedJob",
    "VirtualClient",
    "cluster",
    "context",
]
