"""What holds for all tests."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_models_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests do not read the models that whoever runs them has added."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("share"))
