"""Goals, attacks, and what an attack leaves behind."""
