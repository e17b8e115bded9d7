/* The table of protocols as data, and the settings of each under common names. */
#include "settings/protocol.h"

#include "lib/die.h"
#include "settings/settings.h"

#define HAS_LOGIN_LOGIN true
#define HAS_LOGIN_NO_LOGIN false

const struct protocol_info protocols[PROTOCOL_COUNT] = {
#define P(id, name_, title_, group_, kind, port_, tls_port_, proxy, begin, required, starttls_) \
	[PROTOCOL_##id] = { .name = #name_, \
		.title = title_, \
		.group = #group_, \
		.ssl_group = #group_ "_ssl", \
		.has_login = HAS_LOGIN_##kind, \
		.port = port_, \
		.tls_port = tls_port_, \
		.starttls = starttls_, \
		.access_file = #id "ACCESSFILE", \
		.local_server = "LOCAL_" #id, \
		.option_off = "disable" #name_, \
		.option_insecure = "disableinsecure" #name_ },
	PROTOCOLS(P)
#undef P
};

/* What concerns logins, by kind. */
#define ABOUT_LOGINS_LOGIN(id, group, proxy_) \
	.access_file = set->group##_##id##ACCESSFILE, .proxy = set->group##_##proxy_, \
	.proxy_port = set->group##_PROXY_PORT, .max_per_ip = set->group##_MAXPERIP, \
	.max_per_account = set->group##_MAXPERACCOUNT, .max_per_account_ip = set->group##_MAXPERACCOUNTIP, \
	.defdomain = set->group##_DEFDOMAIN, .domainsep = set->group##_DOMAINSEP, \
	.authservice = set->group##_AUTHSERVICE, .local_server = set->group##_LOCAL_##id,
#define ABOUT_LOGINS_NO_LOGIN(id, group, proxy_) \
	.access_file = "", .defdomain = "", .domainsep = "", .authservice = "", .local_server = "",

static bool has_certificate(const struct settings *set, enum protocol p, const char *file)
{
	return set->has_tls[p] && file[0] != '\0';
}

struct protocol_settings protocol_settings(const struct settings *set, enum protocol p)
{
	switch (p) {
#define P(id, name, title, group, kind, port, tls_port, proxy_, begin, required, starttls_) \
	case PROTOCOL_##id: \
		return (struct protocol_settings){ .served = set->has[p], \
			.tls_served = set->has_tls[p], \
			.address = set->group##_ADDRESS, \
			.ports = set->group##_PORT, \
			.header_ports = set->group##_PROXY_PROTOCOL_PORT, \
			.tls_address = set->group##_ssl_SSLADDRESS, \
			.tls_ports = set->group##_ssl_SSLPORT, \
			.tls_certfile = set->group##_ssl_TLS_CERTFILE, \
			.tls_keyfile = set->group##_ssl_TLS_PRIVATE_KEYFILE, \
			.tls_certdir = set->group##_ssl_TLS_CERTDIR, \
			.tls_versions = set->group##_ssl_TLS_PROTOCOL, \
			.tls_starttls_versions = set->group##_ssl_TLS_STARTTLS_PROTOCOL, \
			.tls_ciphers = set->group##_ssl_TLS_CIPHER_LIST, \
			.tls_groups = set->group##_ssl_TLS_GROUPS, \
			.has_certificate = has_certificate(set, p, set->group##_ssl_TLS_CERTFILE), \
			.starttls = \
			    has_certificate(set, p, set->group##_ssl_TLS_CERTFILE) && set->group##_ssl_##begin, \
			.tls_required = \
			    has_certificate(set, p, set->group##_ssl_TLS_CERTFILE) && set->group##_ssl_##required, \
			.tls_verifypeer = set->group##_ssl_TLS_VERIFYPEER, \
			.tls_trustcerts = set->group##_ssl_TLS_TRUSTCERTS, \
			.tls_external = set->group##_ssl_TLS_EXTERNAL, \
			.maildirpath = set->group##_MAILDIRPATH, \
			.max_sessions = set->group##_MAXDAEMONS, \
			ABOUT_LOGINS_##kind(id, group, proxy_) };
		PROTOCOLS(P)
#undef P
	case PROTOCOL_COUNT:
		break;
	}
	DIE_IF(p >= PROTOCOL_COUNT);
	return (struct protocol_settings){ .served = false };
}

bool protocols_served(const struct settings *set)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (set->has[p])
			return true;
	return false;
}

unsigned protocols_forwarded(const struct settings *set)
{
	unsigned n = 0;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(set, p);

		n += s.served && s.proxy;
	}
	return n;
}
