"""What several applications of this repository have in common."""

THINGS = "shared things"
