"""Real servers on loopback, and the faults that can be done to them.

`servers.Servers` starts and heals everything; `faults.FAULTS` is what a seeded plan draws from.
"""
