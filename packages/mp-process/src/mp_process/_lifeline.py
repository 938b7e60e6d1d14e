"""Lifelines of the platform that this runs on."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from mp_process._lifeline_linux import (
        Lifeline as Lifeline,
        arm as arm,
        parent_is_gone as parent_is_gone,
    )
else:
    from mp_process._unsupported import (
        Lifeline as Lifeline,
        arm as arm,
        parent_is_gone as parent_is_gone,
    )
