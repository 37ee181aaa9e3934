"""`python -m lowthread program.py`: runs a program on lowthread. See lowthread/_run.py."""

from lowthread._run import main

if __name__ == "__main__":  # not where tools look into every module
    main()
