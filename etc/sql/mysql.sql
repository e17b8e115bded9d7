-- A table of accounts for authmysql (MySQL or MariaDB), as a start: have your own if you like, for every field of the
-- settings may be any SQL expression. Load it as the owner of the database: mariadb mail <mysql.sql
--
--   authdaemonrc = { authmodulelist = "authmysql"; };
--   authmysqlrc = {
--       MYSQL_SERVER = "db.example.com";
--       MYSQL_USERNAME = "waypost";
--       MYSQL_PASSWORD = "...";
--       MYSQL_DATABASE = "mail";
--       MYSQL_USER_TABLE = "accounts";
--       MYSQL_LOGIN_FIELD = "name";
--       MYSQL_CRYPT_PWFIELD = "hash";
--       MYSQL_NAME_FIELD = "fullname";
--       MYSQL_MAILDIR_FIELD = "maildir";
--       MYSQL_QUOTA_FIELD = "quota";
--       MYSQL_AUXOPTIONS_FIELD = "CONCAT_WS(',', CONCAT('mailhost=', NULLIF(mailhost, '')), NULLIF(options, ''))";
--       MYSQL_WHERE_CLAUSE = "active";
--   };
--
-- The collation says that names are compared byte by byte; utf8mb4_general_ci takes JO for jo, and a blank behind a
-- name for nothing.

CREATE TABLE accounts (
    name     varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY CHECK (name <> ''),
    hash     varchar(255) NOT NULL DEFAULT '',     -- made by userdbpw, or any crypt(3)
    uid      int unsigned NOT NULL CHECK (uid > 0),
    gid      int unsigned NOT NULL CHECK (gid > 0),
    home     varchar(1024) NOT NULL CHECK (home LIKE '/%'),
    maildir  varchar(1024) NOT NULL DEFAULT '',    -- '': MAILDIRPATH of the settings
    quota    varchar(255) NOT NULL DEFAULT '',
    fullname varchar(255) NOT NULL DEFAULT '',
    mailhost varchar(1024) NOT NULL DEFAULT '' CHECK (mailhost NOT LIKE '%,%'), -- the node that has the mail; several with blanks
    options  varchar(1024) NOT NULL DEFAULT '',    -- disablepop3=1,...
    active   boolean NOT NULL DEFAULT true
) DEFAULT CHARACTER SET utf8mb4;

-- Who reads it: CREATE USER waypost IDENTIFIED BY '...'; then
--   GRANT SELECT ON mail.accounts TO waypost;

-- INSERT INTO accounts (name, hash, uid, gid, home, mailhost) VALUES
--     ('jo@example.com', '$y$...', 5000, 5000, '/srv/mail/jo', 'a.example.com');
