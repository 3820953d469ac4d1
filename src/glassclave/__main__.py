"""``python -m glassclave``."""

from glassclave.cli import main

main()
