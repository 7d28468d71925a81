"""What the line `web` serves."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return "Hello from a Procfile\n"
