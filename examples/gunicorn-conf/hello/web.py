"""A bare WSGI application; its greeting is set in `gunicorn.conf.py`."""

import os


def app(environ, start_response):
    body = (os.environ["GREETING"] + "\n").encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
