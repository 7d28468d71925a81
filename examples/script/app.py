"""A web server from the standard library alone, started as `python app.py`.

It is process 1 of its container, to which the kernel delivers no signal that has no handler: without the two
lines that ask for SIGTERM, stopping the container would take until the runtime loses patience.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"Hello from app.py\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def stop(_signal, _frame) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    port = int(os.environ.get("PORT") or 8080)
    ThreadingHTTPServer(("", port), Hello).serve_forever()
