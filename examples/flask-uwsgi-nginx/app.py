"""A page of Flask behind uWSGI and nginx."""

import time

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return "Hello from uWSGI behind nginx\n"


@app.get("/asked")
def asked() -> dict[str, str]:
    """What the application sees of a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return headers | {"url": request.url, "remote": request.remote_addr or ""}


@app.post("/length")
def length() -> str:
    return f"{len(request.get_data())}\n"


@app.get("/slow")
def slow() -> str:
    """A request that takes a while, as reports do."""
    time.sleep(float(request.args.get("seconds", "0.2")))
    return "done\n"
