"""
A broker and an agent in one process: twistd --nodaemon --python embedded.tac
"""

import os

from twisted.application.service import Application, MultiService

from jobroute.agent import Agent
from jobroute.config import load
from jobroute.service import BrokerService

settings = load({"data_dir": os.environ.get("DATA_DIR", "data")})

services = MultiService()
BrokerService(settings).setServiceParent(services)
Agent(
    settings.endpoints["frontend"],
    name="inside",
    services={"echo": "jobroute.agent.builtin:echo"},
).setServiceParent(services)

application = Application("jobs")
services.setServiceParent(application)
