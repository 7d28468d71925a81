"""A page of Flask on uWSGI."""

import time

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return "Hello from uWSGI\n"


@app.get("/slow")
def slow() -> str:
    """A request that takes a while, as reports do."""
    time.sleep(1)
    return "done\n"
