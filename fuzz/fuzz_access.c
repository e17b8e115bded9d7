/* Access files: what is taken of one are rules that can be read again, and the table of a login worker agrees with a
 * look at all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/mem.h"
#include "login/access.h"
#include "settings/access_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the most specific rule says of CLIENT; of equal ones the last. */
static bool denied(const char *rules, const struct net_addr *client)
{
	char action[8], network[64];
	unsigned best = 0;
	bool found = false, deny = false;
	int used;

	for (const char *p = rules; *p != '\0'; p += used) {
		struct net_addr a;
		unsigned bits;

		used = 0;
		if (sscanf(p, "%7s %63s\n%n", action, network, &used) != 2 || used == 0 ||
		    (strcmp(action, "allow") != 0 && strcmp(action, "deny") != 0) ||
		    !net_network_parse(network, &a, &bits))
			abort();
		if (net_addr_in(client, network) && (!found || bits >= best)) {
			found = true;
			best = bits;
			deny = action[0] == 'd';
		}
	}
	return deny;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_addr client = { .family = size % 2 == 0 ? AF_INET : AF_INET6 };
	struct str mistakes = STR_INIT, odd = STR_INIT;
	int fd = memfd_create("access", MFD_CLOEXEC);
	char path[32], *rules;
	struct access *a;

	if (size < sizeof(client.ip) || fd == -1 ||
	    write(fd, data + sizeof(client.ip), size - sizeof(client.ip)) != (ssize_t)(size - sizeof(client.ip))) {
		close(fd);
		return 0;
	}
	memcpy(client.ip, data, sizeof(client.ip));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rules = access_file_read(path, &mistakes, &odd);
	if ((rules == NULL) != (mistakes.len != 0))
		abort();
	if (rules != NULL) {
		a = access_new(rules);
		if (access_denies(a, &client) != denied(rules, &client))
			abort();
		access_free(&a);
	}
	mem_free(&rules);
	str_fini(&mistakes);
	str_fini(&odd);
	close(fd);
	return 0;
}
