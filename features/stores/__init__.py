"""Drivers of the online store."""
