"""What we predict: models, their bundles, and how they are made. Of ours it imports `features` only."""
