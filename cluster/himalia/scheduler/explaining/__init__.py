"""Why a task waits, in sentences, with what each part of the cluster knows of it."""
