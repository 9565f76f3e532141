"""From functions and arguments to what the scheduler is told: keys, pickles, dependencies, surroundings."""
