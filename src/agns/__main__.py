"""`python -m agns` is `agns`."""

from agns.cli import main

if __name__ == "__main__":
    main()
