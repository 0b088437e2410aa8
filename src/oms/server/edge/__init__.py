"""What the outside reaches: HTTP, the dialects of the call, and the few pages beside it."""
