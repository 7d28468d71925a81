"""A bare WSGI application and a command; both read a file that the package carries."""

from importlib.resources import files


def greeting() -> str:
    return files(__name__).joinpath("greeting.txt").read_text()


def application(environ, start_response):
    body = greeting().encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def main() -> None:
    print(greeting(), end="")
