/* Steps on their way to a disk. */
#include "tests/unit/disk_record.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/str.h"
#include "tests/unit/file_calls.h"
#include "tests/unit/unit.h"

enum { STEPS_MAX = 20000, NODES_MAX = 5000, ENTRIES_MAX = 2000, PATH_LEN = 1024 };

enum kind { NAME, CONTENT, CUT, SYNC };

struct step {
	enum kind kind;
	unsigned file; /* NAME: who has it now; 0: nobody */
	unsigned dir;  /* NAME: where */
	bool joined;   /* NAME: the other half of a rename, whose first half is the step before */
	bool bound;    /* ... within one directory: one step on every disk */
	char *name;
	char *data;
	size_t len;
	off_t at;
};

/* Files and directories; number 0 is none, 1 the folder. */
static struct {
	ino_t ino;
	bool is_dir;
} node[NODES_MAX];
static unsigned n_nodes;
static struct step step[STEPS_MAX];
static size_t n_steps, n_first; /* the first are on the disk already */

static unsigned add_node(ino_t ino, bool is_dir)
{
	CU_ASSERT_FATAL(n_nodes < NODES_MAX);
	node[n_nodes].ino = ino;
	node[n_nodes].is_dir = is_dir;
	return n_nodes++;
}

/* The last one that had this inode number. */
static unsigned find(ino_t ino)
{
	for (unsigned i = n_nodes; i-- > 1;)
		if (node[i].ino == ino)
			return i;
	return 0;
}

static struct step *add(enum kind kind, unsigned file)
{
	struct step *s = &step[n_steps++];

	CU_ASSERT_FATAL(n_steps < STEPS_MAX);
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->file = file;
	return s;
}

static struct step *add_name(unsigned dir, const char *name, unsigned file)
{
	struct step *s = add(NAME, file);

	s->dir = dir;
	s->name = mem_strdup(name);
	return s;
}

static void add_content(unsigned file, const void *data, size_t len, off_t at)
{
	struct step *s = add(CONTENT, file);

	s->data = mem_memdup(data, len);
	s->len = len;
	s->at = at;
}

static void heard(const struct file_op *op)
{
	unsigned dir = op->name != NULL ? find(op->dir) : 1, file = find(op->file), to;
	struct step *s;

	if (dir == 0 || (op->name == NULL && file == 0))
		return; /* elsewhere */
	switch (op->kind) {
	case FILE_MADE:
	case FILE_DIR_MADE:
		file = add_node(op->file, op->kind == FILE_DIR_MADE);
		add_name(dir, op->name, file);
		break;
	case FILE_LINKED:
		add_name(find(op->to_dir), op->to_name, file);
		break;
	case FILE_REMOVED:
		add_name(dir, op->name, 0);
		break;
	case FILE_RENAMED:
		to = find(op->to_dir);
		add_name(dir, op->name, 0);
		s = add_name(to, op->to_name, file);
		s->joined = true;
		s->bound = to == dir;
		break;
	case FILE_WROTE:
		add_content(file, op->data, op->len, op->at);
		break;
	case FILE_CUT:
		add(CUT, file)->len = op->len;
		break;
	case FILE_SYNCED:
		add(SYNC, file);
		break;
	}
}

/* Takes what is in the directory PATH, which is number DIR. */
static void take_dir(const char *path, unsigned dir)
{
	DIR *d = opendir(path);
	struct dirent *de;
	char below[PATH_LEN], data[4096];

	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	while ((de = readdir(d)) != NULL) {
		struct stat st;
		unsigned n;
		ssize_t len;
		int fd;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, de->d_name);
		CU_ASSERT_EQUAL_FATAL(lstat(below, &st), 0);
		n = add_node(st.st_ino, S_ISDIR(st.st_mode));
		add_name(dir, de->d_name, n);
		if (S_ISDIR(st.st_mode)) {
			take_dir(below, n);
			continue;
		}
		fd = open(below, O_RDONLY | O_CLOEXEC);
		for (off_t at = 0; (len = read(fd, data, sizeof(data))) > 0; at += len)
			add_content(n, data, (size_t)len, at);
		close(fd);
	}
	closedir(d);
}

void disk_record_begin(const char *dir)
{
	struct stat st;

	n_nodes = 1;
	CU_ASSERT_EQUAL_FATAL(stat(dir, &st), 0);
	take_dir(dir, add_node(st.st_ino, true));
	n_first = n_steps;
	file_calls_tell(heard);
}

void disk_record_end(void)
{
	file_calls_tell(NULL);
	for (; n_steps > 0; n_steps--) {
		mem_free(&step[n_steps - 1].name);
		mem_free(&step[n_steps - 1].data);
	}
	n_first = 0;
}

size_t disk_record_steps(void)
{
	return n_steps;
}

/* --- what is there --- */

static struct {
	unsigned dir, file;
	const char *name;
} entry[ENTRIES_MAX];
static size_t n_entries;

static uint64_t mixed(uint64_t seed, uint64_t n)
{
	uint64_t h = (seed ^ n * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;

	h = (h ^ h >> 32) * 0xc4ceb9fe1a85ec53u;
	return h ^ h >> 29;
}

static void set_entry(const struct step *s)
{
	for (size_t i = 0; i < n_entries; i++)
		if (entry[i].dir == s->dir && strcmp(entry[i].name, s->name) == 0) {
			entry[i].file = s->file;
			return;
		}
	CU_ASSERT_FATAL(n_entries < ENTRIES_MAX);
	entry[n_entries].dir = s->dir;
	entry[n_entries].file = s->file;
	entry[n_entries++].name = s->name;
}

/* The last fsync() of FILE (0: of any) among the first STEPS, or N_FIRST. */
static size_t last_sync(unsigned file, size_t steps)
{
	for (size_t i = steps; i-- > n_first;)
		if (step[i].kind == SYNC && (file == 0 || step[i].file == file))
			return i;
	return n_first;
}

static bool name_is_there(size_t i, size_t steps, enum disk_model model, uint64_t seed)
{
	size_t first = i;

	switch (model) {
	case DISK_ORDERED:
		first -= step[i].joined;
		steps = last_sync(0, steps) + mixed(seed, 0) % (steps - last_sync(0, steps) + 1);
		return first + (first != i || (i + 1 < n_steps && step[i + 1].joined)) < steps || i < n_first;
	case DISK_STRICT:
		first -= step[i].bound;
		if (i < n_first || last_sync(step[i].dir, steps) > i)
			return true;
		if (i + 1 < steps && step[i + 1].joined && !name_is_there(i + 1, steps, model, seed))
			return false;
		return mixed(seed, first) % 2 == 0;
	default:
		return true;
	}
}

static void content_of(unsigned file, size_t steps, enum disk_model model, uint64_t seed, struct str *out)
{
	size_t sure = model == DISK_ALL ? steps : last_sync(file, steps);
	uint64_t how = mixed(seed, file) % 3; /* nothing more; all; and all but half of each */

	for (size_t i = 0; i < steps; i++) {
		const struct step *s = &step[i];
		size_t len = i >= sure && how == 2 ? s->len / 2 : s->len;

		if (s->file != file || (i >= sure && how == 0))
			continue;
		if (s->kind == CUT)
			out->len = MIN(out->len, s->len);
		if (s->kind != CONTENT)
			continue;
		while (out->len < (size_t)s->at + len)
			str_addc(out, '\0');
		memcpy(out->data + s->at, s->data, len);
	}
}

static char *made[NODES_MAX]; /* the path of each file that was made */

static void make_dir(unsigned dir, const char *path, size_t steps, enum disk_model model, uint64_t seed, int depth)
{
	char below[PATH_LEN];

	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
	for (size_t i = 0; i < n_entries && depth < 8; i++) {
		struct str text = STR_INIT;
		FILE *f;

		if (entry[i].dir != dir || entry[i].file == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry[i].name);
		if (node[entry[i].file].is_dir) {
			make_dir(entry[i].file, below, steps, model, seed, depth + 1);
			continue;
		}
		if (made[entry[i].file] != NULL) { /* one file with two names */
			CU_ASSERT_EQUAL_FATAL(link(made[entry[i].file], below), 0);
			continue;
		}
		made[entry[i].file] = mem_strdup(below);
		content_of(entry[i].file, steps, model, seed, &text);
		f = fopen(below, "w");
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		CU_ASSERT_EQUAL(fwrite(str_cstr(&text), 1, text.len, f), text.len);
		fclose(f);
		str_fini(&text);
	}
}

void disk_record_make(size_t steps, enum disk_model model, uint64_t seed, const char *into)
{
	n_entries = 0;
	if (steps < n_steps && step[steps].joined) /* nobody stops within a rename */
		steps++;
	for (size_t i = 0; i < steps; i++)
		if (step[i].kind == NAME && name_is_there(i, steps, model, seed))
			set_entry(&step[i]);
	make_dir(1, into, steps, model, seed, 0);
	for (unsigned i = 0; i < n_nodes; i++)
		mem_free(&made[i]);
}
