"""`python -m vclr.cli` is `vclr`."""

from vclr.cli import main

if __name__ == "__main__":
    main()
