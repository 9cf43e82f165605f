from tests.images.conftest import client, new_client, running  # noqa: F401  # fixtures
