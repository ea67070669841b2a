"""What we know: definitions, events, rows, windows, and the features they give."""
