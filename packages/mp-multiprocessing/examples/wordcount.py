"""Count the words of a directory's Python files, serially and with a pool.

    python wordcount.py [DIRECTORY]

Without a directory it counts those of the running interpreter's standard library.  The
pool counts under every start method; all totals have to agree.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mp_multiprocessing as mp

Words = Counter[str]
Progress = mp.Connection[int, int]

WORD = re.compile(r"[^\W\d]\w*")

#: Files in one task: enough that a task is worth its way to the worker and back.
BATCH = 25

_progress: Progress | None = None


def set_progress(progress: Progress | None) -> None:
    """In a worker: where to report how many files were counted."""
    global _progress
    _progress = progress


def count_words(files: list[Path]) -> Words:
    """The words of some files, with how often each occurs."""
    words: Words = Counter()
    for file in files:
        words.update(WORD.findall(file.read_text(encoding="utf-8", errors="replace")))
    if _progress is not None:
        _progress.send(len(files))
    return words


def count_serially(batches: list[list[Path]], progress: Progress | None) -> Words:
    """Count in this process."""
    set_progress(progress)
    return merged([count_words(batch) for batch in batches])


def counter_with(method: mp.Method) -> Callable[..., Words]:
    """The function that counts with a pool of one start method."""

    def count(batches: list[list[Path]], progress: Progress | None) -> Words:
        context = mp.get_context(method)
        with context.Pool(initializer=set_progress, initargs=(progress,)) as pool:
            return merged(pool.map(count_words, batches, 1))

    return count


def merged(counts: list[Words]) -> Words:
    """One count of many."""
    total: Words = Counter()
    for words in counts:
        total.update(words)
    return total


@contextmanager
def progress_bar(title: str, files: int) -> Iterator[Progress | None]:
    """A bar that moves with what is sent to it, where somebody is looking."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    reader, writer = mp.Pipe(duplex=False)
    with tqdm(total=files, desc=title, unit=" files", leave=False) as bar:

        def follow() -> None:
            while count := reader.recv():
                bar.update(count)

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield writer
        finally:
            writer.send(0)
            thread.join()
            reader.close()
            writer.close()


def is_part(file: Path, chosen: Path | None) -> bool:
    """Whether a file belongs to what is counted."""
    return chosen is not None or "site-packages" not in file.parts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", metavar="DIRECTORY")
    chosen: Path | None = parser.parse_args().directory
    directory = chosen or Path(sysconfig.get_path("stdlib"))
    # What was installed lies in a folder of the standard library, but is none of it.
    files = [file for file in sorted(directory.rglob("*.py")) if is_part(file, chosen)]
    if not files:
        print(f"no Python files in {directory}", file=sys.stderr)
        return 2
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    print(f"{len(files)} files in {directory}, {os.cpu_count()} CPUs\n")

    ways: dict[str, Callable[..., Words]] = {"serially": count_serially}
    for method in mp.get_all_start_methods():
        ways[f"Pool, {method}"] = counter_with(method)
    totals: dict[str, Words] = {}
    seconds: dict[str, float] = {}
    for title, count in ways.items():
        with progress_bar(title, len(files)) as progress:
            start = time.perf_counter()
            totals[title] = count(batches, progress)
            seconds[title] = time.perf_counter() - start
        speed_up = seconds["serially"] / seconds[title]
        print(f"{title:<18}{seconds[title]:8.2f} s{speed_up:8.2f}x", flush=True)

    reference = totals["serially"]
    differing = [title for title, words in totals.items() if words != reference]
    if differing:
        print(f"\ntotals differ: {', '.join(differing)}", file=sys.stderr)
        return 1
    print(f"\n{reference.total():,} words, the same each time; most frequent:")
    for word, times in reference.most_common(20):
        print(f"{times:10,}  {word}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
