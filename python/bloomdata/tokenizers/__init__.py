"""Tokenizers and chat templates as objects, and their files.

- `tokenizer`: the public class. `encoded_files`: ids of files, batch by batch.
- `chat_template`: conversations as text and as ids.
- `families`: pre-tokenizers of known families. `folder`: writes tokenizers.
- `sentencepiece_model`: reads `.model` files.
- `few_shot`: OpenChatKit's samples of moderation data.
"""
