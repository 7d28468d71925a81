"""Tells what a container looks like from inside. The rows of the contract have it served in every way there is.

    python -m seen serve NAME    a server on PORT, or 8080, that says it is NAME
    python -m seen ask PORT      waits until something answers there and prints its page
"""

import locale
import os
import pwd
import shlex
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

ASK_LIMIT_SECONDS = 40
LISTENING = "0A"


def command(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return shlex.join(file.read().split("\0")[:-1])


def listening():
    with open("/proc/net/tcp") as file:
        for line in list(file)[1:]:
            fields = line.split()
            if fields[3] == LISTENING:
                host, port = fields[1].split(":")
                octets = reversed(bytes.fromhex(host))
                yield "%s:%d" % (".".join(map(str, octets)), int(port, 16))


def user():
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return "nobody"
    return f"{entry.pw_name} {entry.pw_uid}:{entry.pw_gid} {entry.pw_dir}"


def page(name):
    lines = [
        f"app {name}",
        f"pid1 {command(1)}",
        f"self {command('self')}",
        f"parent {command(os.getppid()) if os.getppid() else ''}",
        f"cwd {os.getcwd()}",
        f"user {user()}",
        f"prefix {sys.prefix}",
        f"locale {locale.setlocale(locale.LC_ALL, '')}",
    ]
    lines += [f"listen {address}" for address in sorted(set(listening()))]
    lines += [f"env {key}={value}" for key, value in sorted(os.environ.items())]
    return "".join(line + "\n" for line in lines)


def wsgi(name):
    """A WSGI application that says it is `name`."""

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [page(name).encode()]

    return application


def serve(name, address=None):
    """Serves for ever on `address`, `host:port`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page(name).encode())

        def log_message(self, *_):
            pass

    host, port = (address or "0.0.0.0:" + os.environ.get("PORT", "8080")).split(":")
    HTTPServer((host, int(port)), Handler).serve_forever()


def manage():
    """What the rows need of Django's manage.py."""
    print("MANAGE", shlex.join(sys.argv), flush=True)
    if sys.argv[1] == "migrate":
        sys.exit(int(os.environ.get("FAIL_MIGRATE", "0")))
    if sys.argv[1] == "runserver":
        serve("runserver", sys.argv[2])


def ask(port):
    deadline = time.monotonic() + ASK_LIMIT_SECONDS
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/") as answer:
                print(answer.read().decode(), end="")
                return
        except HTTPError as error:
            sys.exit(f"status {error.code}")
        except (URLError, ConnectionError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"no answer: {error}")
            time.sleep(0.02)


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](sys.argv[2])
