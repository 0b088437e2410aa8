"""`python -m oms` is the command `oms`."""

from oms.cli.main import main

main()
