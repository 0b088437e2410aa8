"""OpenNode Management Server: one API over many virtualisation hosts."""

__version__ = "0.1.0"
