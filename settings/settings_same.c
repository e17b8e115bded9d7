/* One line for each value of the file, sorted, and their digest. */
#include "settings/settings_same.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/die.h"
#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/str.h"

struct lines {
	char **line;
	size_t n;
};

static void add_scalar(struct str *out, const config_setting_t *e)
{
	switch (config_setting_type(e)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		str_addf(out, "%lld", config_setting_get_int64(e));
		break;
	case CONFIG_TYPE_FLOAT:
		str_addf(out, "%.17g", config_setting_get_float(e));
		break;
	case CONFIG_TYPE_BOOL:
		str_adds(out, config_setting_get_bool(e) ? "true" : "false");
		break;
	case CONFIG_TYPE_STRING:
		/* Its length says where it ends, whatever stands in it. */
		str_addf(out, "\"%zu:%s", strlen(config_setting_get_string(e)), config_setting_get_string(e));
		break;
	default:
		str_adds(out, "-");
	}
}

static void add_line(struct lines *all, struct str *line)
{
	if ((all->n & (all->n - 1)) == 0)
		all->line = mem_grow(all->line, (all->n == 0 ? 1 : 2 * all->n) * sizeof(*all->line));
	all->line[all->n++] = str_steal(line);
}

/* Members have names; elements of lists and arrays have their number: their order counts. The file may not be nested
 * deeper than libconfig parses. */
static void add(struct lines *all, const config_setting_t *e, const char *path)
{
	struct str text = STR_INIT;

	if (!config_setting_is_aggregate(e)) {
		str_adds(&text, path);
		str_addc(&text, '=');
		add_scalar(&text, e);
		add_line(all, &text);
		return;
	}
	str_addf(&text, "%s%s", path, config_setting_is_group(e) ? "{}" : "()");
	add_line(all, &text); /* one that is empty says something, too */
	for (int i = 0; i < config_setting_length(e); i++) {
		const config_setting_t *member = config_setting_get_elem(e, (unsigned)i);
		const char *name = config_setting_name(member);

		str_clear(&text);
		if (name != NULL)
			str_addf(&text, "%s.%s", path, name);
		else
			str_addf(&text, "%s[%d]", path, i);
		add(all, member, str_cstr(&text));
	}
	str_fini(&text);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void settings_same(const config_setting_t *root, char out[SETTINGS_SAME_MAX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	struct lines all = { NULL, 0 };
	unsigned len = 0;

	add(&all, root, "");
	qsort(all.line, all.n, sizeof(*all.line), compare);
	DIE_IF(md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1);
	for (size_t i = 0; i < all.n; i++) {
		DIE_IF(EVP_DigestUpdate(md, all.line[i], strlen(all.line[i]) + 1) != 1);
		mem_free_secret(&all.line[i]);
	}
	DIE_IF(EVP_DigestFinal_ex(md, digest, &len) != 1 || 2 * len + 1 != SETTINGS_SAME_MAX);
	EVP_MD_CTX_free(md);
	mem_free(&all.line);
	hex_text(out, digest, len);
}
