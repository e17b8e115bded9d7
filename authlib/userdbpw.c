/* userdbpw: reads a password and prints its hash for a field of the userdb. */
#include <crypt.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "authlib/hmac_state.h"
#include "authlib/password.h"
#include "lib/mem.h"
#include "lib/text.h"

static const struct option {
	const char *name, *scheme, *hmac, *text;
} options[] = {
	{ "", "", NULL, "the default hash of crypt(3) on this system" },
	{ "-md5", "$1$", NULL, "MD5-crypt, for old systems" },
	{ "-sha256", "$5$", NULL, "SHA-256-crypt" },
	{ "-sha512", "$6$", NULL, "SHA-512-crypt" },
	{ "-bcrypt", "$2b$", NULL, "bcrypt" },
	{ "-yescrypt", "$y$", NULL, "yescrypt" },
	{ "-argon2id", "{ARGON2ID}", NULL, "Argon2id with 64 MiB of memory" },
	{ "-scram-sha-256", "{SCRAM-SHA-256}", NULL, "secret for SCRAM-SHA-256; PLAIN and LOGIN work with it, too" },
	{ "-scram-sha-1", "{SCRAM-SHA-1}", NULL, "the same for SCRAM-SHA-1" },
	{ "-ssha512", "{SSHA512}", NULL, "salted SHA-512, as in Dovecot and LDAP directories: fast, so weak" },
	{ "-ssha", "{SSHA}", NULL, "salted SHA-1, as in LDAP directories: fast, so weak" },
	{ "-hmac-md5", NULL, "md5", "for the field hmac-md5pw (CRAM-MD5); as sensitive as the password itself" },
	{ "-hmac-sha1", NULL, "sha1", "for the field hmac-sha1pw (CRAM-SHA1)" },
	{ "-hmac-sha256", NULL, "sha256", "for the field hmac-sha256pw (CRAM-SHA256)" },
};

static struct termios saved;
static volatile sig_atomic_t hidden;

static int usage(FILE *to)
{
	fputs("usage: userdbpw [OPTION] | userdb NAME set FIELD\n"
	      "Reads a password (twice on a terminal, else one line) and prints its hash:\n",
	    to);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		fprintf(to, "  %-16s%s\n", options[i].name[0] != '\0' ? options[i].name : "(no option)",
		    options[i].text);
	return to == stdout ? 0 : 2;
}

static void show_input(void)
{
	if (hidden)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	hidden = 0;
}

static void on_signal(int sig)
{
	show_input();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void hide_input(void)
{
	struct termios quiet;

	if (tcgetattr(STDIN_FILENO, &saved) != 0)
		return;
	quiet = saved;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	hidden = 1;
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
}

/* One line without its end, at most SIZE - 1 bytes; false at the end of the input or if it is longer. */
static bool read_line(char *dst, size_t size)
{
	size_t len = 0;
	ssize_t n;
	char c;

	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n') {
		if (len == size - 1)
			return false;
		dst[len++] = c;
	}
	if (len != 0 && dst[len - 1] == '\r')
		len--;
	dst[len] = '\0';
	return n == 1 || len != 0;
}

static const char *ask(char *password, size_t size)
{
	char again[ACCOUNT_PASSWORD_MAX];
	bool same = true;

	if (!isatty(STDIN_FILENO))
		return read_line(password, size) ? NULL : "no password on standard input, or it is too long";
	hide_input();
	fputs("Password: ", stderr);
	if (!read_line(password, size))
		same = false;
	fputs("\nRepeat: ", stderr);
	same = same && read_line(again, sizeof(again)) && strcmp(password, again) == 0;
	fputs("\n", stderr);
	show_input();
	mem_wipe(again, sizeof(again));
	return same ? NULL : "the passwords differ";
}

static const char *check(const char *password)
{
	if (password[0] == '\0')
		return "the password is empty";
	if (strlen(password) >= CRYPT_MAX_PASSPHRASE_SIZE)
		return "the password is longer than 511 bytes";
	return text_is_plain(password) ? NULL :
	                                 "the password contains control characters, which mail programs cannot send";
}

static bool make(struct str *out, const struct option *o, const char *password)
{
	char hash[ACCOUNT_HASH_MAX];

	if (o->hmac != NULL)
		return hmac_state_add(out, o->hmac, password);
	if (!password_make(hash, o->scheme, password))
		return false;
	str_adds(out, hash);
	mem_wipe(hash, sizeof(hash));
	return true;
}

int main(int argc, char **argv)
{
	const struct option *o = NULL;
	char password[ACCOUNT_PASSWORD_MAX];
	struct str out = STR_INIT;
	const char *why;
	int status = 1;

	for (size_t i = 0; argc <= 2 && i < ARRAY_LEN(options); i++)
		if (strcmp(options[i].name, argc == 2 ? argv[1] : "") == 0)
			o = &options[i];
	if (o == NULL || (argc == 2 && argv[1][0] == '\0'))
		return usage(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
	if ((why = ask(password, sizeof(password))) != NULL || (why = check(password)) != NULL)
		fprintf(stderr, "userdbpw: %s\n", why);
	else if (!make(&out, o, password))
		fprintf(stderr, "userdbpw: this system does not support this kind of hash\n");
	else if (printf("%s\n", str_cstr(&out)) < 0 || fflush(stdout) != 0)
		fprintf(stderr, "userdbpw: cannot write: %s\n", strerror(errno));
	else
		status = 0;
	mem_wipe(password, sizeof(password));
	str_fini_secret(&out);
	return status;
}
