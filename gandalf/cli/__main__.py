"""`python -m gandalf.cli`, the same as `gandalf`."""

from gandalf.cli.main import main

main(prog_name="gandalf")
