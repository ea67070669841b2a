"""From labelled history to a bundle. Needs the `train` extra; scorers never import it."""
