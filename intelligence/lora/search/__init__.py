"""Finding LoRAs by words and numbers: tokens, documents, index, features, ranker, embeddings. Knows no reasons."""
