"""What is told in rows and numbers, as pure data: workers, functions, progress, errors, the summary at the top."""
