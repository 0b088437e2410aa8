"""ISO images of this host."""
