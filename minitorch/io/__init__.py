"""Files: safetensors, checkpoints of a whole training run, Hugging Face folders, GGUF."""

__all__: list[str] = []
