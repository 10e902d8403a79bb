"""`python -m carbjax`: the command line, where `carbjax` is not on the path."""

from carbjax._cli.main import main

if __name__ == "__main__":
    main()
