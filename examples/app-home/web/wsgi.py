"""Found because APP_HOME names its folder."""

import os

from shared import THINGS


def application(environ, start_response):
    body = f"Hello from {os.path.basename(os.getcwd())}, with {THINGS}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
