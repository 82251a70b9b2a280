#!/bin/sh
# Run once, when the volume is empty: the roles of deploy/sql/roles.sql, before the first migration, and their passwords.
set -eu
psql -X -q -v ON_ERROR_STOP=1 -1 -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB" -f /roles.sql
psql -X -q -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB" \
  -v owner_password="$KINDRED_OWNER_PASSWORD" -v server_password="$KINDRED_SERVER_PASSWORD" <<'SQL'
ALTER ROLE kindred_owner PASSWORD :'owner_password';
ALTER ROLE kindred_server PASSWORD :'server_password';
SQL
