"""What can be said of a process from its start to its end (manual, "Process")."""

from __future__ import annotations

import signal
import time

import mp_multiprocessing as mp


def main() -> None:
    """Start a process, terminate it, and ask about it."""
    process = mp.Process(target=time.sleep, args=(1000,), daemon=True)
    print(process, process.is_alive())
    process.start()
    print("alive:", process.is_alive(), "exit code:", process.exitcode)
    process.terminate()
    process.join()
    print("alive:", process.is_alive())
    print("ended by SIGTERM:", process.exitcode == -signal.SIGTERM)
    process.close()


if __name__ == "__main__":
    main()
