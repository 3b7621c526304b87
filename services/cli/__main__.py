"""`python -m services.cli` is `tapetum`, for where that is not on the path."""

from services.cli import main

main()
