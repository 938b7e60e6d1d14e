"""A process that runs one function, and who is whose parent (manual, "Process")."""

from __future__ import annotations

import os

import mp_multiprocessing as mp


def report(title: str) -> None:
    """Say which module and process this is."""
    print(title)
    print("module name:", __name__.rpartition(".")[2])
    print("parent process:", os.getppid())
    print("process id:", os.getpid())


def greet(name: str) -> None:
    """What the child does."""
    report("function greet")
    print("hello", name)


def main() -> None:
    """Start a process and wait for its end."""
    report("main line")
    process = mp.Process(target=greet, args=("bob",))
    process.start()
    process.join()


if __name__ == "__main__":
    main()
