"""OMS beside what a user would take instead: Ganeti, Incus and Salt, asked the same over their network APIs.

`bench/peers/prepare` puts Debian's packages of them and PyPI's of Salt into a directory of its own, and starts
them in namespaces of their own: nothing of this machine is changed. It says what it installs. `python -m bench
peers` measures.
"""
