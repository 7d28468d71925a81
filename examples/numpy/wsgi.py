"""A WSGI application that computes with a large compiled wheel."""

import numpy


def application(environ, start_response):
    total = int((numpy.arange(1, 11) ** 2).sum())
    body = f"The squares of 1 to 10 add up to {total}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
