from ..model_fixtures import model, raw, registry  # noqa: F401
