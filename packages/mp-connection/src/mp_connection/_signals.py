"""Errors of signal handlers, which come out of whatever call they interrupt.

A handler may raise anything, and a TimeoutError, which is an OSError, is what many do:
that must not be taken for the failure of a system call.
"""

from __future__ import annotations

#: Whose functions make system calls for us.
_OURS = ("mp_connection.", "ssl.")


def is_of_handler(error: BaseException) -> bool:
    """Whether a signal handler has raised an error, and not a call that failed.

    Args:
        error: what was caught where only system calls, and code of this package, can
            have raised it.
    """
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    # What C code raises ends in the frame that has called it, which is ours.
    return not f"{traceback.tb_frame.f_globals.get('__name__')}.".startswith(_OURS)
