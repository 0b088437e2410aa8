"""LVMService on a host: the handlers, and the rules they go by."""
