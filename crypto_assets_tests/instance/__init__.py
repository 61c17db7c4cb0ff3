"""The instance on real Postgres servers, real processes and real kills."""
