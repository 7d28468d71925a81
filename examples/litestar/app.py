"""An application of Litestar."""

from litestar import Litestar, MediaType, get


@get("/", media_type=MediaType.TEXT)
async def index() -> str:
    return "Hello from Litestar\n"


app = Litestar([index])
