"""Containers through OpenVZ's own programs, on hosts whose kernel is OpenVZ's (`/proc/vz`)."""

from oms.agent.guests.vzctl.containers import VzContainers as VzContainers
