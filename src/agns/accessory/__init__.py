"""The worn thing: its silhouette, and how it is laid over a face."""
