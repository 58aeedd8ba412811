"""``python -m inferaudit``: the command, where its script is not on the path."""

from inferaudit.cli.app import main

if __name__ == "__main__":
    main()
