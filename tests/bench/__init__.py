"""
How fast a broker is, as ratios to a plain forwarder in the same run: what a
machine does meanwhile disturbs both alike.
"""
