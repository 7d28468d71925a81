"""A bare WSGI application; its greeting comes from the environment that the image carries."""

import os


def app(environ, start_response):
    body = (os.environ.get("GREETING", "Hello") + "\n").encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
