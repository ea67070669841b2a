"""How records flow: pipeline, engine, transport, workers and the command line."""
