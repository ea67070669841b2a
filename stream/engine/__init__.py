"""What drives the pipeline: loops, state machines and the state between batches."""
