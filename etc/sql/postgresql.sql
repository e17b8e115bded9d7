-- A table of accounts for authpgsql, as a start: have your own if you like, for every field of the settings may be
-- any SQL expression. Load it as the owner of the database: psql -d mail -f postgresql.sql
--
--   authdaemonrc = { authmodulelist = "authpgsql"; };
--   authpgsqlrc = {
--       PGSQL_CONNECTION = "host=db.example.com dbname=mail user=waypost password=... sslmode=verify-full";
--       PGSQL_USER_TABLE = "accounts";
--       PGSQL_LOGIN_FIELD = "name";
--       PGSQL_CRYPT_PWFIELD = "hash";
--       PGSQL_NAME_FIELD = "fullname";
--       PGSQL_MAILDIR_FIELD = "maildir";
--       PGSQL_QUOTA_FIELD = "quota";
--       PGSQL_AUXOPTIONS_FIELD = "concat_ws(',', 'mailhost=' || nullif(mailhost, ''), nullif(options, ''))";
--       PGSQL_WHERE_CLAUSE = "active";
--   };
--
-- With verify-full libpq looks for the authority in ~/.postgresql/root.crt of AUTH_USER; sslrootcert=FILE in PGSQL_CONNECTION
-- names another place.
-- Names are compared as they are written; with lower(name) as LOGIN_FIELD store them in small letters.

CREATE TABLE accounts (
    name     text PRIMARY KEY CHECK (name <> ''),
    hash     text NOT NULL DEFAULT '',             -- made by userdbpw, or any crypt(3)
    uid      integer NOT NULL CHECK (uid > 0),
    gid      integer NOT NULL CHECK (gid > 0),
    home     text NOT NULL CHECK (home LIKE '/%'),
    maildir  text NOT NULL DEFAULT '',             -- '': MAILDIRPATH of the settings
    quota    text NOT NULL DEFAULT '',
    fullname text NOT NULL DEFAULT '',
    mailhost text NOT NULL DEFAULT '' CHECK (mailhost !~ '[,[:cntrl:]]'),  -- the node that has the mail; several with blanks
    options  text NOT NULL DEFAULT '',             -- disablepop3=1,...
    active   boolean NOT NULL DEFAULT true
);

-- Who reads it: CREATE ROLE waypost LOGIN PASSWORD '...'; then
--   GRANT SELECT ON accounts TO waypost;

-- INSERT INTO accounts (name, hash, uid, gid, home, mailhost) VALUES
--     ('jo@example.com', '$y$...', 5000, 5000, '/srv/mail/jo', 'a.example.com');
