-- A table of accounts for authsqlite, as a start: have your own if you like, for every field of the settings may be
-- any SQL expression. Make the file: sqlite3 /etc/waypost/accounts.db <sqlite.sql
--
--   authdaemonrc = { authmodulelist = "authsqlite"; };
--   authsqliterc = {
--       SQLITE_DATABASE = "/etc/waypost/accounts.db";
--       SQLITE_USER_TABLE = "accounts";
--       SQLITE_LOGIN_FIELD = "name";
--       SQLITE_CRYPT_PWFIELD = "hash";
--       SQLITE_NAME_FIELD = "fullname";
--       SQLITE_MAILDIR_FIELD = "maildir";
--       SQLITE_QUOTA_FIELD = "quota";
--       SQLITE_AUXOPTIONS_FIELD = "trim(iif(mailhost <> '', 'mailhost=' || mailhost, '') || ',' || options, ',')";
--       SQLITE_WHERE_CLAUSE = "active";
--   };
--
-- AUTH_USER must be able to read the file: chgrp waypostauth accounts.db; chmod 640 accounts.db. Leave the journal mode
-- as it is: with WAL a reader needs to write in the file's folder. To exchange the whole file, rename the new one into
-- its place; copying over it would show a half of it.
-- Names are compared as they are written; a LOGIN_FIELD of lower(name) wants names stored in small letters.

CREATE TABLE accounts (
    name     text NOT NULL PRIMARY KEY CHECK (name <> ''),
    hash     text NOT NULL DEFAULT '',             -- made by userdbpw, or any crypt(3)
    uid      integer NOT NULL CHECK (uid > 0),
    gid      integer NOT NULL CHECK (gid > 0),
    home     text NOT NULL CHECK (home LIKE '/%'),
    maildir  text NOT NULL DEFAULT '',             -- '': MAILDIRPATH of the settings
    quota    text NOT NULL DEFAULT '',
    fullname text NOT NULL DEFAULT '',
    mailhost text NOT NULL DEFAULT '' CHECK (mailhost NOT LIKE '%,%'),  -- the node that has the mail; several with blanks
    options  text NOT NULL DEFAULT '',             -- disablepop3=1,...
    active   integer NOT NULL DEFAULT 1
);

-- INSERT INTO accounts (name, hash, uid, gid, home, mailhost) VALUES
--     ('jo@example.com', '$y$...', 5000, 5000, '/srv/mail/jo', 'a.example.com');
