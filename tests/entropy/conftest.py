import pytest

from sonant.codec import Codec
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.language_models import language_model


@pytest.fixture(scope="session")
def lm(codec: Codec) -> IntegerLanguageModel:
    """That of the bundled 24 kHz model."""
    found = language_model(codec)
    assert found is not None
    return found
