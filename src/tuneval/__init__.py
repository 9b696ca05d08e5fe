"""tuneval: did the fine-tune work? Base, LoRA adapters and full fine-tune on the same cases."""

__version__ = "0.1.0"
