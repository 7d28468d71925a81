"""A page that says which commit's image it comes from; `build.sh` puts it into a repository of its own."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

GREETING = Path(__file__).with_name("greeting.txt")


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = GREETING.read_bytes()
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
