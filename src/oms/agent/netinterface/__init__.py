"""NetInterfaceService: what this host is connected by, changed so that it finds back by itself. See `applying`."""
