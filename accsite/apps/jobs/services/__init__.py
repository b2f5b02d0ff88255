"""All that changes jobs, queues and workers."""
