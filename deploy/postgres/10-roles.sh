#!/bin/sh
# Run once, when the volume is empty. The owner migrates; the server acts as the owner, with its sessions bounded as
# deploy/sql/roles.sql has it, since start-up parameters do not pass PgBouncer.
set -eu
psql -X -q -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB" \
  -v owner_password="$KINDRED_OWNER_PASSWORD" -v server_password="$KINDRED_SERVER_PASSWORD" <<'SQL'
CREATE ROLE kindred_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE kindred_server LOGIN PASSWORD :'server_password' IN ROLE kindred_owner;
ALTER DATABASE kindred OWNER TO kindred_owner;
-- The partitions that a server makes are the owner's too.
ALTER ROLE kindred_server IN DATABASE kindred SET role = 'kindred_owner';
ALTER ROLE kindred_server IN DATABASE kindred SET lock_timeout = '500ms';
ALTER ROLE kindred_server IN DATABASE kindred SET statement_timeout = '4500ms';
ALTER ROLE kindred_server IN DATABASE kindred SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE kindred_server IN DATABASE kindred SET client_connection_check_interval = 250;
ALTER ROLE kindred_server IN DATABASE kindred SET plan_cache_mode = force_generic_plan;
ALTER ROLE kindred_server IN DATABASE kindred SET default_transaction_isolation = 'read committed';
SQL
