"""Every value of a recipe, and of the sizes in it, is told of."""

import re
from dataclasses import fields

import pytest

from sonant.config import CodecConfig, LanguageModelConfig
from sonant.training import recipe_sections
from sonant.training.lm_recipe import LanguageModelRecipe
from sonant.training.recipe import Recipe

SECTIONS = [value for name, value in vars(recipe_sections).items() if name.endswith("Recipe")]


@pytest.mark.parametrize("kind", [Recipe, LanguageModelRecipe, CodecConfig, LanguageModelConfig, *SECTIONS])
def test_every_value_has_an_entry_in_the_docstring(kind):
    entries = re.findall(r"^ {4,8}([a-z_0-9, ]+): ", kind.__doc__.partition("Attributes:\n")[2], re.M)
    told = ", ".join(entries).split(", ")
    assert sorted(told) == sorted(field.name for field in fields(kind))
