"""The parts of ``engine/openai_server.py``: the connection, echoes, the canary, prompts written here."""
