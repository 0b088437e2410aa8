"""Containers: the OpenVZService of this host."""
