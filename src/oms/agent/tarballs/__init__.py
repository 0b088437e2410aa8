"""Tar archives that strangers made: read, judged, written out; and made of what lies on this host."""
