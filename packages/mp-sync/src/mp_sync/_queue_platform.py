"""What queues ask of the platform that this runs on."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from mp_sync._queue_linux import (
        STEP as STEP,
        blocks as blocks,
        create_file as create_file,
        drop_before as drop_before,
        identity as identity,
        is_alive as is_alive,
        items_in as items_in,
        level as level,
        limit_buffer as limit_buffer,
        peek as peek,
        read_into as read_into,
        shorten as shorten,
        writable as writable,
        write as write,
    )
else:
    from mp_sync._queue_unsupported import (
        STEP as STEP,
        blocks as blocks,
        create_file as create_file,
        drop_before as drop_before,
        identity as identity,
        is_alive as is_alive,
        items_in as items_in,
        level as level,
        limit_buffer as limit_buffer,
        peek as peek,
        read_into as read_into,
        shorten as shorten,
        writable as writable,
        write as write,
    )
