"""What `riverrun features build` is made of: where history comes from, and where the training set goes."""
