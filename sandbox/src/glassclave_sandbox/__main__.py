"""``python -m glassclave_sandbox``."""

from glassclave_sandbox.cli import main

if __name__ == "__main__":
    main()
