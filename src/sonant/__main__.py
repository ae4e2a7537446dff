"""`python -m sonant` is `sonant`, where scripts are not on the path."""

from __future__ import annotations

from sonant.cli import main

if __name__ == "__main__":
    main()
