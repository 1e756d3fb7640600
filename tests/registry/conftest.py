from ..model_fixtures import hub, lora, model, other_hub, raw, registry, waits  # noqa: F401
