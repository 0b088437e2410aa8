"""Containers through LXC, and the only place that knows it.

Its own programs make the changes (`programs`), each a process of its own: one that hangs is killed, and nothing of
LXC's C library, which blocks and forks as it likes, ever runs in the agent. What is asked is read from where it
stands, without a process for each container: how they are set up in their configuration files (`config`), which of
them run from the kernel's list of sockets and from their monitors (`monitor`), what they are held to and use from
their control groups (`cgroups`), their addresses from their network namespaces (`network`). `disks` has the places
of their root file systems, `containers` the port's methods.
"""

from oms.agent.guests.lxc.containers import LxcContainers

__all__ = ["LxcContainers"]
"""Here is no list of containers but LXC's: a directory with a `config` in LXC's path is one, whoever made it."""
