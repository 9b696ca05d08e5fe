"""Files -> Cases, with line numbers. Knows nothing of prompts and models."""
