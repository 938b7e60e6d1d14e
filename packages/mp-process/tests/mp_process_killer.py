"""Has a process die at a chosen step of its start-up.

`stub` makes a new text of what a fresh interpreter runs, which imports this module
first and calls `install`.  In a fork server, only the children die.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from mp_connection.channel import PacketChannel

assert sys.platform == "linux"

#: Steps of the start-up code, in order; the first two are in the text itself.
FIRST = "first instruction"
BEFORE_PATH = "before the path"
STEPS = (
    "path",
    "preparation received",
    "standard input",
    "detached",
    "prepared",
    "process received",
    "process unpickled",
    "noted",
    "run",
)

#: Of those, the ones that come when the note of having started is sent.
STARTED = ("noted", "run")


def stub(text: str, step: str) -> str:
    """The text of a fresh interpreter that dies at *step*."""
    if step == FIRST:
        return "import os;os.kill(os.getpid(),9)\n" + text
    head, mark, tail = text.partition("from {module} import {function}")
    assert mark
    if step == BEFORE_PATH:
        return head.replace("f=int", "os.kill(os.getpid(),9)\nf=int") + mark + tail
    call = f"import mp_process_killer\nmp_process_killer.install({step!r},'{{module}}')"
    return f"{head}{call}\n{mark}{tail}"


def die() -> None:
    os.kill(os.getpid(), 9)


def once(path: str) -> bool:
    """Whether this is the first call of all processes that name this file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _before(owner: Any, name: str, act: Callable[[], object]) -> None:
    real = getattr(owner, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        act()
        return real(*args, **kwargs)

    setattr(owner, name, replacement)


def install(step: str, module: str) -> None:
    """Have this process, or the children of this fork server, die at *step*."""
    from mp_process import _bootstrap, _server_posix, _startup

    server = os.getpid() if module.endswith("_server_posix") else None

    def act() -> None:
        if os.getpid() != server:
            die()

    if step == "path":
        if server is None:
            die()
        _before(_server_posix, "run_child", act)
    elif step == "preparation received":
        _before(_startup.Preparation, "hold", act)
    elif step == "detached":
        _before(_startup.Preparation, "apply", act)
    elif step == "prepared":
        calls: list[int] = []

        def second() -> None:
            calls.append(1)
            if len(calls) == 2:
                act()

        _before(_startup, "_next", second)
    elif step in ("process received", "process unpickled"):
        _unpickling(_startup, step == "process received", act)
    elif step == "noted":

        def if_run_child() -> None:
            if sys._getframe(2).f_code.co_name == "run_child":
                act()

        _before(PacketChannel, "close", if_run_child)
    elif step == "run":
        _before(_bootstrap, "run", act)
    elif step == "standard input":
        _before(_bootstrap, "replace_stdin", act)
    else:
        raise ValueError(step)


def _unpickling(startup: Any, before: bool, act: Callable[[], object]) -> None:
    real = startup.unpickle

    def replacement(received: Any) -> Any:
        if before and act_now():
            act()
        result = real(received)
        if not before and act_now():
            act()
        return result

    calls: list[int] = []

    def act_now() -> bool:
        calls.append(1)
        return len(calls) == 2

    startup.unpickle = replacement


def install_in_server(step: str, path: str, always: bool) -> None:
    """Have a fork server die around its first fork; it or each one."""
    from mp_process import _server_posix

    def act() -> None:
        if always or once(path):
            die()

    if step == "before the fork":
        _before(_server_posix._Server, "_fork", act)
    elif step == "after the fork":
        _before(_server_posix._Server, "_tell", act)
    elif step == "at its start":
        _before(_server_posix, "_serve", act)
    else:
        raise ValueError(step)


def server_stub(text: str, step: str, path: str, always: bool) -> str:
    """The text of a fork server that dies around its first fork."""
    head, mark, tail = text.partition("from {module} import {function}")
    arguments = f"{step!r},{path!r},{always}"
    call = f"import mp_process_killer as k\nk.install_in_server({arguments})"
    return f"{head}{call}\n{mark}{tail}"
