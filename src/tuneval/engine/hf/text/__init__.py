"""Words -> token ids: the tokenizer's habits and the chat template, per variant."""
