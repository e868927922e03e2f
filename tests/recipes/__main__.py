"""Writes the graphs anew: `python -m tests.recipes`, with the versions that the package names."""

from __future__ import annotations

from . import RECIPES, export

for recipe in RECIPES:
    recipe.file.write_bytes(export(recipe.function, recipe.shape))
