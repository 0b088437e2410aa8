"""The agent: does on one host what OMS asks of it.

what the API asks       kvm, images, templates; ovz, and rootfs with tarballs: templates of containers;
                        kvmplusovz, iso, lvm, stats, netinterface, consoles; handlers: the table of all
a request's way         dispatch, context; errands: what a read sets going
changes                 jobs, lanes, run, journal, leases, server_clocks
files of our own        shelf, placing; transfer: on their way to this host
settings                given: as callers give them; limits of kvm and ovz
from host to host       passage; moving: machines; ovz.moving: containers
to the hypervisors      guests, libvirtd, containers, foreign_xml, sha512_crypt
to the machine          host
what OMS is told        facts, roster, events
to OMS and in           enrol, identity, desk, reach
from start to end       main, config, premises, clock; simulation: hosts that are not there
"""
