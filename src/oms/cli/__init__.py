"""The command line: `oms ...`."""
