"""What the commands of `stream.cli` share: flags that become settings, and how commands end."""
