"""Training of the embedded demo model: `python -m tests.tools.demo_model.<step>`, in the order of README.md."""
