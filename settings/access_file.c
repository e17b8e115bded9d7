/* Reads Courier's access files, and writes their rules in one form. */
#include "settings/access_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/net.h"
#include "lib/num.h"

enum { TOLD_MAX = 10 }; /* mistakes */

struct reading {
	const char *path; /* of the file being read */
	unsigned line, told;
	bool limits_told;
	struct str rules, *mistakes, *odd;
};

static void mistake(struct reading *r, const char *what)
{
	if (r->told++ < TOLD_MAX)
		str_addf(r->mistakes, "line %u of %s: %s\n", r->line, r->path, what);
}

/* --- networks --- */

/* One to four octets, as "192.68.0". */
static bool from_octets(const char *word, struct str *net)
{
	unsigned n = 0;

	for (const char *p = word;; n++) {
		size_t len = strcspn(p, ".");
		uint64_t v;

		if (n == 4 || !num_parse(p, len, 255, &v))
			return false;
		str_addf(net, "%s%u", n != 0 ? "." : "", (unsigned)v);
		p += len;
		if (*p++ == '\0')
			break;
	}
	n++;
	for (unsigned i = n; i < 4; i++)
		str_adds(net, ".0");
	str_addf(net, "/%u", 8 * n);
	return true;
}

/* A colon and one to eight groups, as ":2001:0db8". */
static bool from_groups(const char *word, struct str *net)
{
	unsigned n = 0;

	if (*word != ':')
		return false;
	for (const char *p = word + 1;; n++) {
		size_t len = strspn(p, "0123456789abcdefABCDEF");

		if (n == 8 || len == 0 || len > 4 || (p[len] != ':' && p[len] != '\0'))
			return false;
		str_addf(net, "%s%.*s", n != 0 ? ":" : "", (int)len, p);
		p += len;
		if (*p++ == '\0')
			break;
	}
	n++;
	str_addf(net, "%s/%u", n < 8 ? "::" : "", 16 * n);
	return true;
}

static void add_rule(struct reading *r, const char *action, const char *net)
{
	str_addf(&r->rules, "%s %s\n", action, net);
}

/* --- lines --- */

/* Not all groups are a network: an IPv4 address within IPv6 counts as IPv4, which has less bits. */
static void take_network(struct reading *r, const char *action, const char *word)
{
	struct str groups = STR_INIT, octets = STR_INIT;

	if (strcmp(word, "*") == 0) {
		add_rule(r, action, "0.0.0.0/0");
		add_rule(r, action, "::/0");
	} else if (strchr(word, '%') == NULL && net_is_network(word)) {
		add_rule(r, action, word);
	} else if (from_groups(word, &groups) && net_is_network(str_cstr(&groups))) {
		add_rule(r, action, str_cstr(&groups));
	} else if (from_octets(word, &octets)) {
		add_rule(r, action, str_cstr(&octets));
	} else {
		mistake(r,
		    "this is no address or network; write 192.0.2.7, 192.0.2, 192.0.2.0/25, 2001:db8::/32, or "
		    "Courier's :2001:0db8; IPv4 within IPv6 as IPv4");
	}
	str_fini(&groups);
	str_fini(&octets);
}

/* LINE, which is changed, is neither empty nor a comment. */
static void take_line(struct reading *r, char *line)
{
	char *action = line + strcspn(line, " \t"), *more;

	if (*action != '\0')
		*action++ = '\0';
	action += strspn(action, " \t");
	more = action + strcspn(action, ", \t");
	if (strstr(more, "MAXCPERIP") != NULL && !r->limits_told) {
		r->limits_told = true;
		str_addf(r->odd, "line %u of %s: MAXCPERIP is not supported, see MAXPERIP\n", r->line, r->path);
	}
	*more = '\0';
	if (strcmp(action, "allow") == 0 || strcmp(action, "deny") == 0)
		take_network(r, action, line);
	else
		mistake(r, "the network has to be followed by a tab or blanks, and by allow or deny");
}

static void take_lines(struct reading *r, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	r->line = 0;
	while ((n = getline(&line, &room, f)) > 0) {
		r->line++;
		while (n != 0 && isspace((unsigned char)line[n - 1]))
			line[--n] = '\0';
		if (memchr(line, '\0', (size_t)n) != NULL)
			mistake(r, "a NUL byte");
		else if (n != 0 && line[0] != '#')
			take_line(r, line);
		if (r->rules.len > ACCESS_RULES_MAX) {
			mistake(r, "too many networks; use a firewall for long lists");
			break;
		}
	}
	if (ferror(f))
		str_addf(r->mistakes, "cannot read %s: %s\n", r->path, strerror(errno));
	free(line);
}

/* --- files --- */

/* PATH must be a file if it is WANTED, the one that was named; in a folder others are passed over. */
static void take_file(struct reading *r, const char *path, bool wanted)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	FILE *f = NULL;

	r->path = path;
	if (fd == -1 || fstat(fd, &st) != 0)
		str_addf(r->mistakes, "cannot read %s: %s\n", path, strerror(errno));
	else if (S_ISREG(st.st_mode) && (f = fdopen(fd, "r")) != NULL)
		take_lines(r, f);
	else if (wanted)
		str_addf(r->mistakes, "%s is not a file\n", path);
	if (f != NULL)
		fclose(f);
	else if (fd != -1)
		close(fd);
}

static int is_shown(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void take_folder(struct reading *r, const char *path)
{
	struct dirent **names = NULL;
	int n = scandir(path, &names, is_shown, alphasort);

	if (n < 0)
		str_addf(r->mistakes, "cannot read %s: %s\n", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		struct str file = STR_INIT;

		str_addf(&file, "%s/%s", path, names[i]->d_name);
		take_file(r, str_cstr(&file), false);
		str_fini(&file);
		free(names[i]);
	}
	free(names);
}

/* Courier lets everybody in then, and its own settings name a file that is not there (import-courier leaves that out):
 * here whoever names one has rules, and a wrong path must not open the node. */
static void tell_missing(struct reading *r, const char *path)
{
	struct str compiled = STR_INIT;

	str_addf(&compiled, "%s.dat", path);
	if (access(str_cstr(&compiled), F_OK) == 0)
		str_addf(r->mistakes, "there is %s.dat, but not the text that it was made from, %s\n", path, path);
	else
		str_addf(r->mistakes, "there is no %s; without rules every address may connect: take the setting out\n",
		    path);
	str_fini(&compiled);
}

char *access_file_read(const char *path, struct str *mistakes, struct str *odd)
{
	struct reading r = { .mistakes = mistakes, .odd = odd, .rules = STR_INIT };
	size_t before = mistakes->len;
	struct stat st = { 0 };

	if (stat(path, &st) != 0 && errno == ENOENT)
		tell_missing(&r, path);
	else if (S_ISDIR(st.st_mode))
		take_folder(&r, path);
	else
		take_file(&r, path, true);
	if (r.told > TOLD_MAX)
		str_addf(mistakes, "%u more lines are wrong\n", r.told - TOLD_MAX);
	if (mistakes->len != before)
		str_fini(&r.rules);
	return mistakes->len != before ? NULL : str_steal(&r.rules);
}
