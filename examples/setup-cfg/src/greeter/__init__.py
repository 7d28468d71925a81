"""What the project installs."""

VERSION = "2.1"
