"""`python -m luthier` is `luthier`."""

from luthier.commands.app import main

if __name__ == "__main__":
    main()
