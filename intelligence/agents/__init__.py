"""Programs that act for the user: what they may ask and do here, as MCP tools."""
