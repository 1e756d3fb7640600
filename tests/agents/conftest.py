from ..model_fixtures import model  # noqa: F401
