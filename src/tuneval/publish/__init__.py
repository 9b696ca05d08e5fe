"""A finished run -> files that stand beside a published model; nothing is uploaded.

Each entry is a function ``files(result) -> {path: text}``, paths below one folder called as the entry.
"""

PUBLISHED = {
    "model-card": "tuneval.publish.model_card:files",
}
