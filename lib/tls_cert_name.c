/* Login names in certificates. */
#include "lib/tls_cert_name.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>

#include "lib/text.h"

static const struct {
	const char *word;
	int nid;
} words[] = {
	{ "email", NID_pkcs9_emailAddress },
	{ "emailAddress", NID_pkcs9_emailAddress },
	{ "mail", NID_rfc822Mailbox },
	{ "CN", NID_commonName },
	{ "commonName", NID_commonName },
	{ "UID", NID_userId },
	{ "userId", NID_userId },
	{ "serialNumber", NID_serialNumber },
	{ "dnQualifier", NID_dnQualifier },
};

static int nid_of(const char *field)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(field, words[i].word) == 0)
			return words[i].nid;
	return OBJ_txt2nid(field);
}

bool tls_cert_name_field(const char *field)
{
	bool known = nid_of(field) != NID_undef;

	ERR_clear_error();
	return known;
}

struct found {
	bool any;
	char *name;
	size_t size;
	const char *wrong;
};

static void take(struct found *f, const ASN1_STRING *value)
{
	unsigned char *utf8 = NULL;
	int got = ASN1_STRING_to_UTF8(&utf8, value);
	const char *text = (const char *)utf8;
	size_t len = (size_t)MAX(got, 0);

	if (len == 0)
		f->wrong = "the field is empty, or no text";
	else if (text_plain(text, len) != len)
		f->wrong = "the field has control characters";
	else if (len >= f->size)
		f->wrong = "the field is too long";
	else if (f->any && (strlen(f->name) != len || strncasecmp(f->name, text, len) != 0))
		f->wrong = "the field is there twice, with different values";
	if (f->wrong == NULL && !f->any) {
		memcpy(f->name, text, len);
		f->name[len] = '\0';
		f->any = true;
	}
	OPENSSL_free(utf8);
}

static void take_subject(struct found *f, const X509_NAME *subject, int nid)
{
	for (int i = -1; f->wrong == NULL && (i = X509_NAME_get_index_by_NID(subject, nid, i)) >= 0;)
		take(f, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
}

static void take_alternatives(struct found *f, const X509 *cert)
{
	int critical = -1;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);

	if (names == NULL && critical != -1) /* -1: there are none */
		f->wrong = "its alternative names cannot be read";
	for (int i = 0; f->wrong == NULL && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);

		if (one->type == GEN_EMAIL)
			take(f, one->d.rfc822Name);
	}
	GENERAL_NAMES_free(names);
}

const char *tls_cert_name(X509 *cert, const char *field, char *name, size_t size)
{
	struct found f = { .name = name, .size = size };
	int nid = nid_of(field);

	if (nid != NID_undef)
		take_subject(&f, X509_get_subject_name(cert), nid);
	if (nid == NID_pkcs9_emailAddress && f.wrong == NULL)
		take_alternatives(&f, cert);
	ERR_clear_error();
	if (f.wrong == NULL && !f.any)
		f.wrong = "the field is not there";
	return f.wrong;
}
