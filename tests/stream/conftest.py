"""What more than one test of replays needs."""

import pytest

from models.bundle import Bundle
from tests.stream.visits import trained


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    models = tmp_path_factory.mktemp("models")
    return trained(models, 0), trained(models, 1)
