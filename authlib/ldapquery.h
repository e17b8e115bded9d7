/* Builds queries to an LDAP directory and reads its answers, according to Courier's authldaprc; without the
 * connection. */
#ifndef AUTHLIB_LDAPQUERY_H
#define AUTHLIB_LDAPQUERY_H

#include "authlib/auth.h"
#include "lib/str.h"

/* Settings without their prefix; none is NULL. Attributes that are not wanted are "". */
struct ldap_fields {
	const char *mail, *filter, *domain;
	const char *emailmap, *emailmap_mail;
	const char *homedir, *mailroot, *maildir, *delivery, *quota, *fullname, *clearpw, *cryptpw, *uid, *gid,
	    *auxoptions;
	uint32_t glob_uid, glob_gid; /* 0: none */
};

/* The filter that finds the account of USER. */
void ldapquery_filter(struct str *out, const struct ldap_fields *f, const char *user);
/* USER is searched for in two steps. The next two make the filters of the first step and of the second, for which VALUE
 * is the result of the first. */
bool ldapquery_is_mapped(const struct ldap_fields *f, const char *user);
void ldapquery_map_filter(struct str *out, const struct ldap_fields *f, const char *user);
void ldapquery_mapped_filter(struct str *out, const struct ldap_fields *f, const char *value, size_t len);

/* The filter that finds all accounts: FILTER (LDAP_ENUMERATE_FILTER), or if that is "" one made from F. */
void ldapquery_list_filter(struct str *out, const struct ldap_fields *f, const char *filter);

/* The attributes that ldapquery_record() needs, each once: names (owned) into ATTR, NULL after the last. Returns their
 * number; those that do not fit are omitted. */
enum { LDAP_ATTRS_MAX = 64 };
unsigned ldapquery_attrs(const struct ldap_fields *f, char *attr[LDAP_ATTRS_MAX + 1]);

/* The first value of attribute ATTR, as long as the entry lives; false if it has none. */
typedef bool ldap_value_fn(void *arg, const char *attr, const char **p, size_t *len);

/* The entry as a record: AUTH_OK; AUTH_UNKNOWN: it has no home folder, so it is a person without mail; AUTH_BROKEN,
 * with the reason in WHY: it cannot be used. */
enum auth_result ldapquery_record(const struct ldap_fields *f, ldap_value_fn *value, void *arg, const char *service,
    const char *user, struct account *out, struct str *why);

#endif
