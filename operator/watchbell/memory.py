"""How the process keeps its memory small and its pauses short: settings made once, before anything is built.

A TLS connection of asyncio takes a buffer of 256 KiB, for as long as it is open: some fifty watches and kept sessions make 12 MiB. A TLS record has
16 KiB at most (RFC 8446 §5.1), so two of them are as good; large lists are read with less CPU, too.

glibc maps large blocks one by one at first, but after some were freed it takes later ones from the heap, where they cannot be given back; fifty
probes at once then cost tens of MiB for good. A fixed threshold turns that off.
"""

import ctypes
import gc
from asyncio.sslproto import SSLProtocol

_M_MMAP_THRESHOLD = -3
_MMAP_FROM_BYTES = 64 * 1024
_TLS_BUFFER_BYTES = 32 * 1024


def give_back_large_blocks() -> bool:
    """Have blocks of 64 KiB and more returned as soon as they are free; False where the C library knows no such setting (mallopt(3))."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _MMAP_FROM_BYTES) == 1


def shorten_tls_buffers() -> None:
    """Have each TLS connection that is opened from now on take a buffer of 32 KiB."""
    SSLProtocol.max_size = _TLS_BUFFER_BYTES


def spare_what_stays() -> None:
    """Take all that was imported out of the garbage collector's sight.

    Some 150,000 objects stay for good. Looking at them costs tens of milliseconds, now and then in the way of a mail; and full collections would
    come the later the more of them there are.
    """
    gc.freeze()
