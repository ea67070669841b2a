"""What can be set: sections and their defaults, where values come from, and what is wrong with them."""
