"""The doors to the machine itself: its programs, files and network."""
