"""`python -m scaler.node`: an agent, started by `scaler.process`."""

from typing import Any

from scaler.node.agent import run_agent
from scaler.node.settings import AgentSettings
from scaler.part import Announce, Ending, serve_part


def run(settings: dict[str, Any], ending: Ending, ready: Announce) -> int:
    return run_agent(AgentSettings.of(settings), ending, ready)


if __name__ == "__main__":
    serve_part(run)
