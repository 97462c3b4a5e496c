-- A role and a database for each service, for development: one password for all. Run by psql as the superuser, once.
-- Production declares the same in k8s/overlays/production/postgres.yaml.
\getenv password HAIQU_DATABASE_PASSWORD

select
  format('create role %I login password %L', role, :'password'),
  -- Nobody holds locks while the network decides; migrations lift both limits for themselves.
  format('alter role %I set idle_in_transaction_session_timeout = %L', role, '5s'),
  format('alter role %I set transaction_timeout = %L', role, '15s'),
  format('alter role %I connection limit 100', role),
  -- `locale` sets lc_ctype as well: where that is C, pg_trgm finds nothing in Chinese text, whatever the provider.
  format('create database %I owner %I template template0 encoding %L locale_provider builtin locale %L',
    role, role, 'UTF8', 'C.UTF-8'),
  format('revoke all on database %I from public', role)
from unnest(array['residents', 'grievances', 'dispatch', 'notifications', 'oversight']) service,
  concat('haiqu_', service) role
\gexec
