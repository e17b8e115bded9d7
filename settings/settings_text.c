/* Reads files and their includes as one text, and remembers the origin of each line. */
#include "settings/settings_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"

enum { TEXT_MAX = 4 * 1024 * 1024, INCLUDE_DEPTH = 8, REPORT_MAX = 1024 };

/* A file being read, and those that include it. */
struct source {
	const struct source *by; /* NULL: the main file */
	unsigned file, depth;
	bool known_id; /* false: bytes from memory */
	dev_t dev;
	ino_t ino;
};

void settings_report(struct str *out, const struct settings_text *t, unsigned line, const char *fmt, ...)
{
	struct str text = STR_INIT;
	char clean[REPORT_MAX];
	va_list ap;

	va_start(ap, fmt);
	str_addv(&text, fmt, ap);
	va_end(ap);
	log_clean(clean, sizeof(clean), str_cstr(&text));
	str_fini(&text);
	line = (unsigned)MIN(line, t->nlines);
	if (line != 0)
		str_addf(out, "%s:%u: %s\n", t->files[t->lines[line - 1].file], t->lines[line - 1].line, clean);
	else
		str_addf(out, "%s: %s\n", t->files[0], clean);
}

static unsigned add_file(struct settings_text *t, const char *name)
{
	t->files = mem_grow(t->files, (t->nfiles + 1) * sizeof(*t->files));
	t->files[t->nfiles] = mem_strdup(name);
	return (unsigned)t->nfiles++;
}

/* Begins a line of the text, which is line LINE of FILE. */
static void begin_line(struct settings_text *t, unsigned file, unsigned line)
{
	if ((t->nlines & (t->nlines - 1)) == 0)
		t->lines = mem_grow(t->lines, (t->nlines == 0 ? 1 : 2 * t->nlines) * sizeof(*t->lines));
	t->lines[t->nlines].file = file;
	t->lines[t->nlines].line = line;
	t->nlines++;
}

static void add_bytes(struct settings_text *t, const struct source *src, const char *p, size_t len, struct str *errors);

/* All of a regular file into OUT; NULL, or what went wrong. */
static const char *read_file(const char *path, struct str *out, struct source *src)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *wrong = NULL;
	struct stat st;
	ssize_t n = 0;

	if (fd == -1)
		return strerror(errno);
	if (fstat(fd, &st) != 0)
		wrong = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		wrong = "not a regular file";
	else if (st.st_size > TEXT_MAX)
		wrong = "too large for a settings file";
	while (wrong == NULL && out->len <= TEXT_MAX && (n = read(fd, str_room(out, 16384), 16384)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			wrong = strerror(errno);
			break;
		}
		out->len += (size_t)n;
		out->data[out->len] = '\0';
	}
	close(fd);
	src->dev = st.st_dev;
	src->ino = st.st_ino;
	src->known_id = wrong == NULL;
	return wrong;
}

static bool included_already(const struct source *src, const struct source *by)
{
	for (; by != NULL; by = by->by)
		if (by->known_id && by->dev == src->dev && by->ino == src->ino)
			return true;
	return false;
}

/* PATH relative to the file FROM. */
static char *relative_to(const char *from, const char *path)
{
	const char *slash = strrchr(from, '/');

	if (path[0] == '/' || slash == NULL)
		return mem_strdup(path);
	return mem_printf("%.*s/%s", (int)(slash - from), from, path);
}

static void include(struct settings_text *t, const struct source *by, const char *path, struct str *errors)
{
	struct source src = { by, 0, by->depth + 1, false, 0, 0 };
	unsigned at = (unsigned)t->nlines;
	char *name = relative_to(t->files[by->file], path);
	struct str bytes = STR_INIT;
	const char *wrong = NULL;

	if (src.depth > INCLUDE_DEPTH)
		settings_report(errors, t, at, "@include \"%s\": includes are nested more than %d deep", path,
		    INCLUDE_DEPTH);
	else if ((wrong = read_file(name, &bytes, &src)) != NULL)
		settings_report(errors, t, at, "@include \"%s\": cannot read %s: %s", path, name, wrong);
	else if (included_already(&src, by))
		settings_report(errors, t, at, "@include \"%s\": the file includes itself; remove this line", path);
	else {
		src.file = add_file(t, name);
		add_bytes(t, &src, bytes.data, bytes.len, errors);
	}
	mem_free(&name);
	str_fini(&bytes);
}

/* What is still open at this point. */
enum open { OPEN_NONE, OPEN_STRING, OPEN_COMMENT };

/* Adds one line (without its end) to the text; a string left open is closed at its end. */
static enum open add_line(struct settings_text *t, const char *p, size_t len, enum open open, struct str *errors)
{
	size_t i = 0;

	for (; i < len; i++) {
		if (open == OPEN_COMMENT) {
			if (p[i] == '*' && i + 1 < len && p[i + 1] == '/') {
				open = OPEN_NONE;
				i++;
			}
		} else if (open == OPEN_STRING) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				open = OPEN_NONE;
		} else if (p[i] == '"') {
			open = OPEN_STRING;
		} else if (p[i] == '#' || (p[i] == '/' && i + 1 < len && p[i + 1] == '/')) {
			break;
		} else if (p[i] == '/' && i + 1 < len && p[i + 1] == '*') {
			open = OPEN_COMMENT;
			i++;
		}
	}
	if (open != OPEN_STRING) {
		str_add(&t->text, p, len);
		return open;
	}
	settings_report(errors, t, (unsigned)t->nlines, "the string does not end on its line; add the closing \"");
	/* A backslash at the very end would escape the closing quote. */
	str_add(&t->text, p, i > len ? len - 1 : len);
	str_addc(&t->text, '"');
	return OPEN_NONE;
}

/* The line is an @include: its path into OUT (to be freed), and the bytes behind it in *REST. */
static bool is_include(const char *p, size_t len, char **out, size_t *rest)
{
	static const char word[] = "@include";
	size_t i = 0, from;
	struct str path = STR_INIT;

	while (i < len && (p[i] == ' ' || p[i] == '\t'))
		i++;
	if (len - i < sizeof(word) || memcmp(p + i, word, sizeof(word) - 1) != 0)
		return false;
	from = i += sizeof(word) - 1;
	while (i < len && (p[i] == ' ' || p[i] == '\t'))
		i++;
	if (i == from || i == len || p[i] != '"')
		return false;
	for (i++; i < len && p[i] != '"'; i++) {
		if (p[i] == '\\' && i + 1 < len)
			i++;
		str_addc(&path, p[i]);
	}
	*rest = i + 1;
	*out = str_steal(&path);
	if (i < len)
		return true;
	mem_free(out);
	return false;
}

static void add_bytes(struct settings_text *t, const struct source *src, const char *p, size_t len, struct str *errors)
{
	static const char bom[] = "\xef\xbb\xbf";
	unsigned line = 1, comment_line = 0;
	enum open open = OPEN_NONE;
	size_t at = len >= 3 && memcmp(p, bom, 3) == 0 ? 3 : 0;

	for (; at < len; line++) {
		const char *end = memchr(p + at, '\n', len - at);
		size_t n = end != NULL ? (size_t)(end - p) - at : len - at, next = at + n + 1, rest;
		enum open before = open;
		char *path;

		begin_line(t, src->file, line);
		if (memchr(p + at, '\0', n) != NULL || t->text.len + n > TEXT_MAX) {
			settings_report(errors, t, (unsigned)t->nlines,
			    memchr(p + at, '\0', n) != NULL ? "a NUL byte: not a text file" :
			                                      "too much text for a settings file");
			str_addc(&t->text, '\n');
			return;
		}
		if (n != 0 && p[at + n - 1] == '\r')
			n--;
		if (open == OPEN_NONE && is_include(p + at, n, &path, &rest)) {
			str_addc(&t->text, '\n');
			include(t, src, path, errors);
			mem_free(&path);
			begin_line(t, src->file, line);
			at += rest;
			n -= rest;
		}
		open = add_line(t, p + at, n, open, errors);
		str_addc(&t->text, '\n');
		if (open == OPEN_COMMENT && before != OPEN_COMMENT)
			comment_line = (unsigned)t->nlines;
		at = next;
	}
	if (open == OPEN_COMMENT) {
		settings_report(errors, t, comment_line, "the comment has no end; add the closing */");
		begin_line(t, src->file, line);
		str_adds(&t->text, "*/\n");
	}
}

void settings_text_from(struct settings_text *t, const char *file, const char *p, size_t len, struct str *errors)
{
	struct source src = { NULL, 0, 0, false, 0, 0 };

	memset(t, 0, sizeof(*t));
	src.file = add_file(t, file);
	add_bytes(t, &src, p, len, errors);
}

void settings_text_load(struct settings_text *t, const char *file, struct str *errors)
{
	struct source src = { NULL, 0, 0, false, 0, 0 };
	struct str bytes = STR_INIT;
	const char *wrong;

	memset(t, 0, sizeof(*t));
	src.file = add_file(t, file);
	wrong = read_file(file, &bytes, &src);
	if (wrong != NULL)
		settings_report(errors, t, 0, "cannot be read: %s", wrong);
	else
		add_bytes(t, &src, bytes.data, bytes.len, errors);
	str_fini(&bytes);
}

void settings_text_fini(struct settings_text *t)
{
	for (size_t i = 0; i < t->nfiles; i++)
		mem_free(&t->files[i]);
	mem_free(&t->files);
	mem_free(&t->lines);
	str_fini(&t->text);
	memset(t, 0, sizeof(*t));
}
