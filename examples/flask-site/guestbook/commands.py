"""`flask translate compile`: from texts that people edit to those that the site reads."""

from pathlib import Path

import click
from babel.messages import mofile, pofile
from flask.cli import AppGroup

translate = AppGroup("translate", help="Translations of the site.")


@translate.command("compile")
def compile_all() -> None:
    for source in Path(__file__).parent.glob("translations/*/LC_MESSAGES/*.po"):
        with source.open("rb") as lines, source.with_suffix(".mo").open("wb") as compiled:
            mofile.write_mo(compiled, pofile.read_po(lines))
        click.echo(f"{source.parent.parent.name}: {source.name} is compiled")
