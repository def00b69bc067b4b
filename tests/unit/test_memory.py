"""The settings that keep the process small do what they say, in a process of their own."""

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent

FREED = """
import resource, sys
from watchbell.memory import give_back_large_blocks

def anonymous_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

if not give_back_large_blocks():
    sys.exit(3)
# As asyncio and lists of thousands of objects take them, with something small after each block that stays.
warm = bytearray(256 * 1024); del warm
before, kept, blocks = anonymous_kib(), [], []
for _ in range(100):
    blocks.append(bytearray(b"x" * 256 * 1024))
    kept.append(bytearray(2048))
while blocks:
    blocks.pop()
print(anonymous_kib() - before)
"""

TLS = """
import asyncio, ssl, tracemalloc
from smtprig import Authority, mail_server
import trustme
from watchbell.memory import shorten_tls_buffers

async def main():
    shorten_tls_buffers()
    authority = Authority(trustme.CA())
    context = ssl.create_default_context(cadata=authority.pem)
    async with mail_server(tls=authority.server_context(), is_implicit=True) as server:
        tracemalloc.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        greeting = await reader.readline()
        buffers = [trace.size for trace in tracemalloc.take_snapshot().traces if "sslproto" in trace.traceback[0].filename]
        writer.write(b"EHLO " + b"x" * 400 + b"\\r\\n")
        heard = await reader.readline()
        writer.transport.abort()
        await asyncio.sleep(0.05)
    print(max(buffers), greeting[:3].decode(), heard[:3].decode())

asyncio.run(main())
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
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=TESTS, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_the_buffers_of_closed_connections_are_given_back():
    (grown_kib,) = run(FREED)
    assert grown_kib < 5 * 1024


def test_an_open_tls_connection_holds_a_small_buffer():
    largest_bytes, greeting, heard = run(TLS)
    assert largest_bytes < 40 * 1024
    assert (greeting, heard) == (220, 250)


def test_what_was_imported_is_not_collected_again_and_again():
    before, after = run(FROZEN)
    assert before > 50_000
    assert after < 1_000
