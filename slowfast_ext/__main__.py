"""`python -m slowfast_ext COMMAND ...` is the program `vtn`."""

from slowfast_ext.cli import main

if __name__ == "__main__":
    main()
