"""Disk images of this host: the files behind machines' disks, and in which format each of them is."""
