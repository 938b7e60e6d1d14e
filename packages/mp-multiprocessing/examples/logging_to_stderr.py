"""What the layers log (manual, "Logging")."""

from __future__ import annotations

import logging

import mp_multiprocessing as mp


def main() -> None:
    """Start a manager and end it, with the logger writing to standard error."""
    logger = mp.log_to_stderr()
    logger.setLevel(logging.INFO)
    logger.warning("doomed")
    manager = mp.Manager()
    manager.shutdown()


if __name__ == "__main__":
    main()
