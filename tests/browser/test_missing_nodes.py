"""Our nodes switched off or deleted in the page, one at a time: the rest runs, or one sentence says what is missing."""

from __future__ import annotations

from ..comfyui.examples import AUTO, ui_workflow
from .page import Page

ACTIVE, BYPASSED = 0, 4

NEEDING = {
    "PromptAnalyze": "LoRA Recommend",
    "ParamOptimize": "Memory Plan",
    "MemoryPlan": "Intelligent Sampler",
    "CheckpointOrFirst": "LoRA Recommend",
}
"""Node that is switched off → node that the sentence names."""

SWITCH = "([type, mode]) => { app.graph._nodes.find(node => node.type === type).mode = mode }"
DELETE = "type => app.graph.remove(app.graph._nodes.find(node => node.type === type))"
RUN = "() => void app.queuePrompt(0, 1)"
STOP = "() => app.api.interrupt()"


def test_switched_off_or_deleted_node_is_named_with_the_one_that_needs_it(page: Page) -> None:
    page.load(ui_workflow(AUTO))
    for kind, needing in NEEDING.items():
        page.tab.evaluate(SWITCH, [kind, BYPASSED])
        page.tab.evaluate(RUN)
        page.tab.get_by_text(f"is bypassed, and {needing} needs what it gives: switch it on.").last.wait_for(
            timeout=60_000
        )
        page.tab.evaluate(STOP)
        page.tab.evaluate(SWITCH, [kind, ACTIVE])
    page.tab.evaluate(DELETE, "PromptAnalyze")
    page.tab.evaluate(RUN)
    page.tab.get_by_text("LoRA Recommend lacks analysis: From Prompt Analyze.").first.wait_for(timeout=60_000)


def test_output_nodes_may_be_switched_off(page: Page) -> None:
    page.load(ui_workflow(AUTO))
    for kind in ("Explain", "Feedback", "SaveGeneration"):
        page.tab.evaluate(SWITCH, [kind, BYPASSED])
    kinds = {node["class_type"] for node in page.prompt().values()}
    assert {"LoRARecommend", "IntelligentSampler"} <= kinds
    assert not kinds & {"Explain", "Feedback", "SaveGeneration"}
