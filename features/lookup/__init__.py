"""Values that others write beside the rows, online and in the past."""
