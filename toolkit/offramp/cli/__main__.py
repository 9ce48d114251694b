"""`python -m offramp.cli`: the command line where no script is installed."""

from offramp.cli import main

main()
