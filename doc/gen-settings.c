/* Prints what is made from the table of settings: gen-settings sample | man | tsv. */
#include <stdio.h>
#include <string.h>

#include "settings/settings_doc.h"

int main(int argc, char **argv)
{
	struct str out = STR_INIT;

	if (argc == 2 && strcmp(argv[1], "sample") == 0)
		settings_doc_sample(&out);
	else if (argc == 2 && strcmp(argv[1], "man") == 0)
		settings_doc_man(&out);
	else if (argc == 2 && strcmp(argv[1], "tsv") == 0)
		settings_doc_tsv(&out);
	else {
		fprintf(stderr, "usage: gen-settings sample|man|tsv\n");
		return 2;
	}
	if (fwrite(str_cstr(&out), 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
		perror("gen-settings");
		return 1;
	}
	str_fini(&out);
	return 0;
}
