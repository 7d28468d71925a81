"""A page that is served by settings of the project's own."""

import getpass

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return f"Hello {getpass.getuser()}, from supervisor, nginx and uWSGI\n"
