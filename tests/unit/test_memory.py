"""The settings that keep the process small do what they say, in a process of their own."""

import subprocess
import sys

FREED = """
import resource, sys
from watchbell.memory import give_back_large_blocks

def anonymous_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

if not give_back_large_blocks():
    sys.exit(3)
# What asyncio does for each TLS connection, with something small after each block that stays.
warm = bytearray(256 * 1024); del warm
before, kept, blocks = anonymous_kib(), [], []
for _ in range(100):
    blocks.append(bytearray(b"x" * 256 * 1024))
    kept.append(bytearray(2048))
while blocks:
    blocks.pop()
print(anonymous_kib() - before)
"""

FROZEN = """
import gc
import watchbell.start
from watchbell.memory import spare_what_stays
before = len(gc.get_objects())
spare_what_stays()
print(before, len(gc.get_objects()))
"""


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_the_buffers_of_closed_connections_are_given_back():
    (grown_kib,) = run(FREED)
    assert grown_kib < 5 * 1024


def test_what_was_imported_is_not_collected_again_and_again():
    before, after = run(FROZEN)
    assert before > 50_000
    assert after < 1_000
