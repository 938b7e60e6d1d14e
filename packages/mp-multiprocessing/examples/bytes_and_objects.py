"""What connections carry (manual, "Connection Objects")."""

from __future__ import annotations

from array import array

import mp_multiprocessing as mp


def main() -> None:
    """Send this and that from one end to the other."""
    a, b = mp.Pipe()
    with a, b:
        a.send([1, "hello", None])
        print(b.recv())
        b.send_bytes(b"thank you")
        print(a.recv_bytes())
        numbers = array("i", range(5))
        place = array("i", [0] * 10)
        a.send_bytes(numbers)
        count = b.recv_bytes_into(place)
        print(count == len(numbers) * numbers.itemsize, place)


if __name__ == "__main__":
    main()
