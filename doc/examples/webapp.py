"""
A web application with its own broker: what is posted to /SERVICE is done by
an agent, and the result is the response.

Try it with: python webapp.py 8080 data
"""

import sys

from twisted.application.service import MultiService
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from jobroute.client import TwistedClient
from jobroute.config import load
from jobroute.errors import JobrouteError
from jobroute.service import BrokerService
from jobroute.zeromq.network import TxNetwork


class Jobs(Resource):
    """
    Hands each POST to the service that its path names.
    """

    isLeaf = True

    def __init__(self, client):
        super().__init__()
        self._client = client

    def render_POST(self, request):
        service = request.path.decode().strip("/")
        job = Deferred.fromCoroutine(self._do(request, service))
        request.notifyFinish().addErrback(lambda _: job.cancel())
        job.addErrback(lambda _: None)
        return NOT_DONE_YET

    async def _do(self, request, service):
        try:
            outcome = await self._client.call(service, request.content.read(), queue_limit=5)
            outcome.check()
        except JobrouteError as e:
            request.setResponseCode(503)
            request.write(f"{e}\n".encode())
        else:
            request.write(outcome.data)
        request.finish()


async def serve(reactor, port, data_dir):
    """
    Start broker, client and web server; stop them with the reactor.
    """
    settings = load({"data_dir": data_dir, "storage": "memory"})
    services = MultiService()
    broker = BrokerService(settings, reactor)
    broker.setServiceParent(services)
    services.privilegedStartService()
    services.startService()
    await broker.whenReady()
    network = TxNetwork(reactor)
    client = TwistedClient(broker.endpoints["frontend"], reactor=reactor, network=network)
    listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(
        Site(Jobs(client))
    )

    async def stop():
        await listening.stopListening()
        await client.close()
        await network.close()
        await services.stopService()

    return listening, stop


async def main(reactor, port, data_dir):
    """
    Serve until somebody stops the process.
    """
    _, stop = await serve(reactor, int(port), data_dir)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(stop()))
    await Deferred()


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
