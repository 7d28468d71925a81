"""Ends uWSGI without loss. `import` of uwsgi.ini loads it; uWSGI hands TERM to the next worker that is free.

uWSGI closes its socket at once, and the kernel then resets what clients have connected and nobody has accepted. Here
the queue takes no more, it is served until it is empty, and only then are the workers told to end. A client that the
full queue turns away tries again and is refused, as if it had come later.

A worker that finds the queue not empty passes the signal on, and serves the next request.
"""

import os
import signal
import socket
import sys
from contextlib import suppress

import uwsgi


def queue_length(listener: socket.socket) -> int:
    """Connections that nobody has accepted: `tcpi_unacked` of tcp(7)'s TCP_INFO, for a socket that listens."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    return int.from_bytes(info[24:28], sys.byteorder)


def stop(number: int) -> None:
    for descriptor in uwsgi.sockets:
        # What is no socket of TCP has no such queue.
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as listener:
            listener.listen(0)
            if queue_length(listener):
                uwsgi.signal(number)
                return
            # Not left to uWSGI, which takes a millisecond: time enough for the next connection.
            listener.shutdown(socket.SHUT_RDWR)
    os.kill(uwsgi.masterpid(), signal.SIGUSR2)


uwsgi.register_signal(signal.SIGTERM, "worker", stop)
