"""
Tests of L{jobroute.broker}.
"""
