"""Finding LoRAs by words and numbers: tokens, documents, index, features, ranker. Knows no reasons."""
