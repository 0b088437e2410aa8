"""How fast OMS is, beside what it stands on: each figure is a ratio of two measured in turn in one run."""
