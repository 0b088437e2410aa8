"""The tests. What they share is imported by its full name: `tests.hosts.libvirtd`."""
