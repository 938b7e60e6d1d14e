"""For third parties that import it and use nothing of it, as dask.distributed does.

Here processes are started by mp-process.
"""

from __future__ import annotations

__all__: tuple[str, ...] = ()
