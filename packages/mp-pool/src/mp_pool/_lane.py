"""A worker as the parent holds it: process, channel, memory."""

from __future__ import annotations

from mp_connection.channel import (
    Lookout,
    Message,
    PacketChannel,
    Received,
    packet_pair,
)
from mp_connection.errors import FramingError, HandleError
from mp_pool._platform import (
    PEEK_NOW,
    RECEIVE_NOW,
    SEND_NOW,
    end_reading,
    end_sending,
    receiver,
    sender,
)
from mp_pool._progress import Progress
from mp_pool._wire import WHOLE
from mp_pool._worker import WorkerEnd, run_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mp_pool._jobs import Chunk
    from mp_pool._platform import Packet
    from mp_pool._terms import Setup
    from mp_pool._wire import Notice
    from mp_process.process import BaseProcess


class Lane:
    """One worker's process and all descriptors that the parent has for it.

    The parent keeps the worker's end of the channel as well: what the worker has not
    received can be taken back there.  Therefore the end of a worker is not seen as
    end-of-file here; the sentinel tells it.

    Args:
        number: the scheduler's name for the worker.

    Attributes:
        process: the process, once it is started.
        refusal: what the worker said of its initializer.
        silent: it was killed because it said nothing.
        over: its process has ended.
        shut: it was cut off; nothing more can be received.
        traffic: bytes of pickles that were sent and came back.
        revoked: the pack that was revoked, and which task of it ran then.
    """

    __slots__ = (
        "_end",
        "_launching",
        "_partial",
        "_seen",
        "_take_back",
        "_unsent",
        "channel",
        "look_out",
        "number",
        "over",
        "process",
        "receive",
        "refusal",
        "revoked",
        "send",
        "shut",
        "silent",
        "traffic",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: BaseProcess | None = None
        self.refusal: Notice | None = None
        self.over = False
        self.shut = False
        self.silent = False
        self.traffic = 0
        self.revoked: tuple[int, int | None] = (0, None)
        self._seen = (0, 0, 1)
        self._launching = False
        self._unsent = False
        self._partial = False
        progress = Progress.create()
        try:
            mine, theirs = packet_pair(shared=False)
        except BaseException:
            progress.close()
            raise
        self.channel = PacketChannel(mine)
        self._end = WorkerEnd(theirs, progress)
        #: For threads that lead the worker: one packet in one call of C, and a look
        #: for the answer before they sleep.
        self.send = sender(mine)
        self.receive = receiver(mine)
        self.look_out = Lookout(mine.fileno).look
        self._take_back = receiver(theirs)

    def launch(
        self,
        make: Callable[..., BaseProcess],
        name: str,
        setup: Setup,
    ) -> None:
        """Start the process.

        Raises:
            Exception: whatever starting a process can raise.
        """
        self.process = make(
            target=run_worker,
            name=name,
            args=(self._end, setup),
            daemon=True,
        )
        # A worker that hangs after a fork beside threads is noticed, and replaced.
        self.process.warns_of_threads = False
        # A task may have a pool of its own: its workers end with the worker.
        self.process.nests = True
        self._launching = True
        try:
            self.process.start()
        finally:
            self._launching = False
            self._end.progress.close_descriptor()

    @property
    def sentinel(self) -> int:
        """The descriptor that is readable when the process has ended."""
        assert self.process is not None
        return self.process.sentinel

    @property
    def pid(self) -> int | None:
        """Of the process; None if it has not started or was let go of just now."""
        try:
            return None if self.process is None else self.process.pid
        except ValueError:
            return None

    def push(self, content: bytes | Message) -> bool:
        """Send without blocking; whether all of it is sent.

        What is not goes with the next `flush`.
        """
        if isinstance(content, bytes):
            if not self._unsent:
                try:
                    self.send(content, SEND_NOW)
                    return True
                except OSError:
                    pass  # no room; or shut down, which the sentinel will explain
            content = Message([content])
        self.channel.push(content)
        return self.flush()

    def flush(self) -> bool:
        """Send more of what was pushed; whether all of it is sent."""
        try:
            self._unsent = not self.channel.flush()
        except OSError:
            self._unsent = False  # shut down: nobody will read it
        return not self._unsent

    def keep(self, packet: Packet) -> None:
        """Have `try_receive` begin with a packet that was received by `receive`."""
        self._partial = True
        self.channel.keep(*packet[:3])

    def try_receive(self) -> bytes | Received | HandleError | None:
        """A message, if there is one; if it is one packet, that packet.

        Returns:
            An error in place of a message whose descriptors were lost.
        """
        try:
            if not self._partial:
                packet = self.receive(RECEIVE_NOW)
                data = packet[0]
                if not data:
                    return None  # shut down
                if data[0] in WHOLE and not packet[1]:
                    return data
                self.keep(packet)
            received = self.channel.try_recv()
        except HandleError as error:
            self._partial = False
            return error
        except FramingError:
            # A task wrote to descriptors that are not its own.
            self.kill(gently=False)
            return None
        except (EOFError, OSError):
            return None  # nothing there; should nothing come, the sentinel fires
        if received is not None:
            self._partial = False
        return received

    def take_back(self, peek: bool = False) -> bytes | None:
        """The oldest packet that the worker has not received; None if there is none.

        Args:
            peek: leave it there.
        """
        try:
            return self._take_back(PEEK_NOW if peek else RECEIVE_NOW)[0] or None
        except OSError:
            return None

    def begun(self, chunk: Chunk) -> int | None:
        """Which task of a chunk had begun when the worker ended; None if none had."""
        index = self._end.progress.begun(chunk.serial)
        # Its failure may have come and the note still be there; and a worker claims a
        # task before it looks whether the pack was cut there.
        if index is None or not chunk.done <= index < chunk.count:
            return None
        return index

    @property
    def task_began(self) -> float:
        """When the task that runs began, by `time.monotonic`, if it has a limit."""
        return self._end.progress.time

    def counts(self) -> tuple[bool, int, int, int]:
        """As of `Progress.counts`.

        Raises:
            ValueError: it is closed.
        """
        return self._end.progress.counts()

    def pace(self) -> int:
        """How many of the tasks that the worker ran last take a millisecond."""
        done_before, busy_before, pace = self._seen
        _, done, _, busy = self.counts()
        if done - done_before >= 4:
            each = (busy - busy_before) // (done - done_before)
            pace = max(1, 1_000_000 // (each + 1))
            self._seen = done, busy, pace
        return pace

    def revoke(self, chunk: Chunk) -> int | None:
        """Have the worker begin no more of a pack that it runs.

        Returns:
            The task behind which certainly nothing is begun: one that runs, and did so
            when this was called before.  Otherwise None; whatever the worker had begun
            when it was called is to be seen by the next time.
        """
        index = self.begun(chunk)
        mark = chunk.serial, index
        if index is not None and self.revoked == mark:
            return index
        self._end.progress.revoke(chunk.serial)
        self.revoked = mark
        return None

    def values(self, chunk: Chunk) -> dict[int, bytes]:
        """As of `Progress.values`, of a chunk that the worker runs."""
        return self._end.progress.values(chunk.serial)

    def notes(self) -> dict[int, bytes]:
        """The values that the worker had noted, by the index of the task."""
        return self._end.progress.notes()

    def crash(self) -> str:
        """The traceback that the worker left when it crashed."""
        return self._end.progress.crash()

    def stop(self) -> None:
        """Let the worker end behind what was sent."""
        end_sending(self.channel.sock)

    def cut(self) -> None:
        """Make whoever receives here return."""
        self.shut = True
        end_reading(self.channel.sock)

    def kill(self, gently: bool) -> None:
        """End the process, by SIGTERM or SIGKILL, if there is one."""
        if self.process is not None and self.process.pid and not self.over:
            if gently:
                self.process.terminate()
            else:
                self.process.kill()

    def wreck(self) -> None:
        """End the process at once and wait for that, if there is one."""
        self.kill(gently=False)
        if self.process is not None and self.process.pid:
            self.process.join()

    def close(self) -> None:
        """Give everything back.  The process has ended or was never started."""
        self.channel.close()
        self._end.close()
        if self.process is not None:
            self.process.close()

    def close_in_child(self) -> None:
        """In a forked child: close what is the parent's; keep what is the child's."""
        self.channel.close()
        if not self._launching:
            self._end.close()
