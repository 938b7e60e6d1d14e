"""Packet channels of the platform that this runs on."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from mp_connection._channel_linux import (
        CLOEXEC as CLOEXEC,
        CONTROL_SIZE as CONTROL_SIZE,
        DONTWAIT as DONTWAIT,
        NOSIGNAL as NOSIGNAL,
        PACKET_SIZE as PACKET_SIZE,
        SLICE_SECONDS as SLICE_SECONDS,
        PacketChannel as PacketChannel,
        Received as Received,
        adopt as adopt,
        arrivals as arrivals,
        is_packet_socket as is_packet_socket,
        keeping as keeping,
        notified as notified,
        packet_pair as packet_pair,
        peeker as peeker,
        poller as poller,
        ready_to_read as ready_to_read,
        receiver as receiver,
        send_packet as send_packet,
        senders as senders,
        slice_reads as slice_reads,
        slice_writes as slice_writes,
    )
else:
    from mp_connection._channel_unsupported import (
        CLOEXEC as CLOEXEC,
        CONTROL_SIZE as CONTROL_SIZE,
        DONTWAIT as DONTWAIT,
        NOSIGNAL as NOSIGNAL,
        PACKET_SIZE as PACKET_SIZE,
        SLICE_SECONDS as SLICE_SECONDS,
        PacketChannel as PacketChannel,
        Received as Received,
        adopt as adopt,
        arrivals as arrivals,
        is_packet_socket as is_packet_socket,
        keeping as keeping,
        notified as notified,
        packet_pair as packet_pair,
        peeker as peeker,
        poller as poller,
        ready_to_read as ready_to_read,
        receiver as receiver,
        send_packet as send_packet,
        senders as senders,
        slice_reads as slice_reads,
        slice_writes as slice_writes,
    )
