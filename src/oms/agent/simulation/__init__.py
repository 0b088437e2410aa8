"""Hosts that are not there: agents with everything of an agent but the machine below.

Each enrols with a key of its own, has its own connection to the bus, its journal, its facts and its guests, and
does what OMS asks by the same code as a real one. `plan` says what the hosts are like, `world` is what their
agents work on, `figures` how busy they are, `life` what happens on them by itself, and `fleet` runs them, many in
one process.

What is not kept here: a promise beyond the process. Journals and guests are in memory, so what a host has done is
forgotten when the simulator ends. And nothing on this machine is changed: no network, no logical volumes.
"""
