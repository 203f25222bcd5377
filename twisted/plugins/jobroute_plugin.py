from twisted.application.service import ServiceMaker

jobroute = ServiceMaker(
    "jobroute", "jobroute.tap", "Route jobs from clients to agents over ZeroMQ.", "jobroute"
)
