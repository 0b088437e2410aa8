"""OMS with many hosts: 500 simulated ones with 10 000 guests, and what is asked of OMS with them.

`python -m bench.fleet`, or `make bench ARGS=fleet`; `--minutes 10` for the whole. `setting` starts OMS and the
simulator, `pace` is a client that asks so often whatever the answers take, `parts` are what is measured.
"""
