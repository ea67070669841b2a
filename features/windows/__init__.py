"""What windows are evaluated with: rows on one axis, cut and folded where they are long, and aggregated."""
