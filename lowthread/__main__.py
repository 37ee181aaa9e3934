"""`python -m lowthread program.py`: runs a program on lowthread. See lowthread/_run.py."""

from lowthread._run import main

main()
