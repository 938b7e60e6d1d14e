"""Chooses where blocks of shared memory come from."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from mp_sharedctypes._blocks_linux import (
        attach as attach,
        create as create,
        inode_of as inode_of,
        publish as publish,
        withdraw as withdraw,
    )
else:
    from mp_sharedctypes._blocks_unsupported import (
        attach as attach,
        create as create,
        inode_of as inode_of,
        publish as publish,
        withdraw as withdraw,
    )
