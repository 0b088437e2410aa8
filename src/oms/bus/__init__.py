"""Carry an operation to a host, and bring its answer or its error back."""
