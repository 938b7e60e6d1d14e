"""Large messages that wait for nobody, on the platform that this runs on."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from mp_connection._handover_linux import Handover as Handover
else:
    from mp_connection._handover_unsupported import Handover as Handover
