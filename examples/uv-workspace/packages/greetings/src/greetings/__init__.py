"""What another member of the workspace is needed for."""


def greeting() -> str:
    return "Hello from a workspace\n"
