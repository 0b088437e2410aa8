"""Certificates: what may be asked for, what is issued, and the process that alone holds the keys."""
