"""The verbs, one file each: options in, a report out. What they share is in `options` and `reports`."""
