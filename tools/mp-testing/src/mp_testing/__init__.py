"""What the tests of the mp packages share; the fixtures are in ``plugin``."""

from mp_testing.backends import BACKENDS as BACKENDS, use_backend as use_backend
from mp_testing.calls import noted_calls as noted_calls
from mp_testing.leaks import allow_fd as allow_fd, allow_pid as allow_pid
from mp_testing.plugin import StartMethod as StartMethod
from mp_testing.waiting import until as until

__all__ = (
    "BACKENDS",
    "StartMethod",
    "allow_fd",
    "allow_pid",
    "noted_calls",
    "until",
    "use_backend",
)
