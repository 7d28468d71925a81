"""Sixty dependencies and one line to change: what the rebuild figures are measured on."""

ANSWER = "one"


def application(environ, start_response):
    body = (ANSWER + "\n").encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
