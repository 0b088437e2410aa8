"""How fast OMS is, beside what it stands on: each figure is a ratio of two measured in turn in one run.

`setting` makes the whole OMS and the floor, `machine` says on what, `load` and `figures` measure and judge; each
other module is one or two parts of the run. docs/benchmarks.md tells what is measured, and what was found.
"""
