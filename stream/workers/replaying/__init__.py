"""What `riverrun replay` is made of: which events, what was served for them, scored again, and compared."""
