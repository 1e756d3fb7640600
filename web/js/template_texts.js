// A template's titles and notes in the page's language: once, when it is opened, so that what a person writes stays.
import { app } from "../../../scripts/app.js";
import { rootGraph } from "./graph_tools.js";
import { ready, templateText } from "./language.js";

const MARK = "intelligent_generation_template"; // in the `extra` of a template's graph

app.registerExtension({
  name: "intelligentgeneration.Templates",

  async afterConfigureGraph() {
    const { extra, _nodes: nodes } = rootGraph();
    if (!extra?.[MARK]) return;
    delete extra[MARK];
    await ready;
    for (const node of nodes) {
      node.title = templateText(node.title);
      if (node.type === "MarkdownNote") node.widgets[0].value = templateText(node.widgets[0].value);
    }
  },
});
