"""One machine or process on a stage: a test says what arrives, and reads what comes of it."""
