"""For the layers above: large messages whose sender does not wait for a receiver.

Apart from `channel`, as most processes send none and each module costs a child time.
"""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from mp_connection._handover_linux import (
        Handover as Handover,
        hand_over as hand_over,
    )
else:
    from mp_connection._handover_unsupported import (
        Handover as Handover,
        hand_over as hand_over,
    )

__all__ = ("Handover", "hand_over")
