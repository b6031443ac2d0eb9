"""Client of Coder's API: requests, retries, rate limit, response models, time ranges and versions."""
