"""The server: one endpoint for people and programs, one bus to the hosts, one database that is the truth.

a call's way            edge, pipeline, reads, tagging; services, desk: what OMS answers by itself
changes of hosts        jobs, told, same_commit
hosts and guests        enrol, fleet, turns, notes, inventory; ca: the process that signs
bytes between hosts     transfers, meeting, matchmaker
who may do what         accounts, passwords, sessions, admin, outside
what was done           audit: the file; ledger: the table; events: for those who listen
screens and terminals   consoles
several servers         colleagues, busnode
from start to end       main, assembly, config, identity, certificates, whereabouts
for all of these        store: the database; rules: what is pure; metrics
"""
