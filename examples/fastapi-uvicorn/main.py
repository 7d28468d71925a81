"""An application of FastAPI. Nothing here says how it is started."""

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
def index(request: Request) -> str:
    return f"Hello from FastAPI by {request.url.scheme}\n"
