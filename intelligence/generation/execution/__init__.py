"""Jobs on one device, many cards, hosts and ComfyUI servers: each picture exactly once."""
