"""The agent: does on one host what OMS asks of it."""
