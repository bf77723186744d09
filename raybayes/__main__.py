"""`python -m raybayes` is the command `raybayes`."""

from raybayes.cli.main import run

run()
