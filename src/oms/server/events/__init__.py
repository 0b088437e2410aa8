"""The log of events as those who listen have it: what happens is told here, and handed out to whoever may know."""
