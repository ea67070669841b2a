"""The demonstration: simulators, servers of its own, and the real workers as processes."""
