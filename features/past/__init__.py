"""History in files and topics, and the training sets made of it."""
