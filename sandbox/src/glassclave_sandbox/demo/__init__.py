"""The main job shown on loopback: from a container image to a verdict, and what happens to those who cheat.

Every command is a real one in a process of its own. The demo belongs to the sandbox because it needs a forge.
"""

from glassclave_sandbox.demo.stage import DemoFailedError, Show
from glassclave_sandbox.demo.story import Demo, Options, run_demo

__all__ = ["Demo", "DemoFailedError", "Options", "Show", "run_demo"]
