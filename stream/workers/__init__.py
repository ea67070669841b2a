"""Composition roots: one file per process that can be started."""
