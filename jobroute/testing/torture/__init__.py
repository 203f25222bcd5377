"""
C{jobroute torture}: a real broker, real agents and clients, which are killed
and stopped in turn, and the judge of the simulation.
"""
