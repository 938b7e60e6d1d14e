"""Programs that were frozen into one executable (PyInstaller, cx_Freeze, Nuitka).

Such an executable runs its program and nothing else: it knows no ``-c``.  So a fresh
interpreter is the program itself, with arguments that `freeze_support` understands,
which the main module calls first.
"""

from __future__ import annotations

import sys

#: Precedes the function to call, and its descriptor.
MARK = "--mp-process"

_NOT_CALLED = """\
This process was started by another one of the same frozen program, to run one of its
functions; but the program begins anew.  Call freeze_support() first in the main module:

    if __name__ == "__main__":
        freeze_support()
        main()
"""


def is_frozen() -> bool:
    """Whether this program is a frozen executable."""
    return bool(getattr(sys, "frozen", False))


def command(executable: str, module: str, function: str, fd: int) -> list[str]:
    """The command that has a frozen program call ``module.function(fd)``.

    Raises:
        RuntimeError: this process was started so itself, and has not called
            `freeze_support`.
    """
    if sys.argv[1:2] == [MARK]:
        raise RuntimeError(_NOT_CALLED)
    return [executable, MARK, f"{module}:{function}", str(fd)]


def freeze_support() -> None:
    """Be the child that this frozen program was started to be, if it was.

    To be called first under the main module's ``if __name__ == "__main__":``.  It does
    nothing in a program that is not frozen, and in one that the user has started; in a
    child it does not return.
    """
    if not is_frozen() or sys.argv[1:2] != [MARK]:
        return
    if sys.platform != "win32":
        from mp_process._interpreter_posix import child_code

        module, _, function = sys.argv[2].partition(":")
        if not module.startswith("mp_process."):
            raise SystemExit(f"{MARK} is for the program's own use")
        code = child_code(module, function)
        del sys.argv[1:3]
        exec(code, {})


freeze_support.__module__ = "mp_process"
