"""What `riverrun deadletters` is made of: letters where they stand, shown, and sent back."""
