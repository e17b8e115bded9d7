/* authlib/password: hashes that other programs made. */
#include <string.h>
#include <strings.h>

#include "authlib/password.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

/* Hashes of "secret", each made by the program named: doveadm pw -s SCHEME -p secret (Dovecot 2.3.19), slappasswd -h
 * {SCHEME} -s secret -o module-load=pw-sha2, argon2 or (of slapd-contrib) pw-pbkdf2 (OpenLDAP 2.5.13), printf secret
 * | argon2 saltsalt -id -e -t 2 -m 12 -p 4 and the like, whois' mkpasswd, apache2-utils' htpasswd, Courier's
 * userdbpw and authpasswd. */
static const struct vector {
	const char *hash, *maker, *scheme;
	bool slow;
} vectors[] = {
	{ "el.Y9MjL6AAN.", "mkpasswd", "DES", true },
	{ "hC3jo6fwt.cm6", "Courier userdbpw", "DES", true },
	{ "$1$mDmSWZ9m$0mrdT87AxxOHWQf7sBspu1", "Courier userdbpw -md5", "$1$", true },
	{ "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "openssl passwd", "$1$", true },
	{ "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.", "openssl passwd", "$5$", true },
	{ "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
	    "openssl passwd", "$6$", true },
	{ "$y$j9T$QD7rFVUFRZARlkf6QhWTJ0$gALUTvwBmjU7lFfUyYAY794X4vIgRBeq5G1Ixb.rgR.", "mkpasswd", "$y$", true },
	{ "$gy$j9T$MqESHwiiwE0RVYcRAz5yP/$Ji41QPvf/6Wrq.2LiHxgPiChTdtWhggaWzLUE2R46mA", "mkpasswd", "$gy$", true },
	{ "$7$CU..../....dgk1sMKcd.AZn9LrdpbnC1$OYU8csJIw735w4fnFzxNkL.3Hj0vJNwbln7.t0iMP61", "mkpasswd", "$7$", true },
	{ "$2b$05$Z54zKfCPLBaXoxYerthNreV6qvjB2OzAtyTtrsQpOp1v1MpTzT8wi", "mkpasswd", "$2b$", true },
	{ "$2y$05$ghx5fWMcMMuENf5qc8bieOu7oXOVRMtUx8mKZxsJDsVexpyj.sj6e", "htpasswd", "$2y$", true },
	{ "$3$$878d8014606cda29677a44efa1353fc7", "mkpasswd", "$3$", true },
	{ "_J9..cSabH04BNBuBNV.", "mkpasswd", "_", true },
	{ "$2a$05$1nhGVnotYA3wLRLb0EgMLuVFF18yE1K6euyMumj.cxCdJefpj9V.a", "mkpasswd", "$2a$", true },
	{ "$2x$05$1nhGVnotYA3wLRLb0EgMLuVFF18yE1K6euyMumj.cxCdJefpj9V.a", "crypt(3)", "$2x$", true },
	{ "$sha1$1000$abcdefgh$ji8ESnkwjcTjo4hThodnLYyi.3yG", "crypt(3)", "$sha1$", true },
	{ "$md5$abcdefgh$$TFWU.dlIfuoAjNld5IaX3.", "crypt(3)", "$md5", true },
	{ "$md5,rounds=81986$5x3vrjfc$$0Vg5jE/6olzYKhdfc/rjw1", "mkpasswd", "$md5", true },
	{ "{CRYPT}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "openssl passwd", "$1$", true },
	{ "{crypt}el.Y9MjL6AAN.", "mkpasswd", "DES", true },
	{ "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==", "slappasswd", "{MD5}", false },
	{ "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69", "Courier authpasswd", "{MD5RAW}", false },
	{ "{md5raw}5EBE2294ECD0E0F08EAB7690D2A6EE69", "the same in capitals", "{MD5RAW}", false },
	{ "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "htpasswd", "{SHA}", false },
	{ "{sha}5en6G6MezRroT3XKqkdPOmY/BfQ=", "htpasswd", "{SHA}", false },
	{ "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", "Courier authpasswd", "{SHA256}", false },
	{ "{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
	    "Courier authpasswd", "{SHA512}", false },
	{ "{SSHA}WLW+OE0OxzTm0diUxhMUgI3vlKR6NRFe", "slappasswd", "{SSHA}", false },
	{ "{SSHA}tCNGqyJLk/uvKpCa4vga5GB2gWoxMjM0NTY3OA==", "hashlib, 8 bytes of salt", "{SSHA}", false },
	{ "{PLAIN}secret", "doveadm pw", "{PLAIN}", false },
	{ "{CLEAR}secret", "doveadm pw", "{CLEAR}", false },
	{ "{CLEARTEXT}secret", "doveadm pw", "{CLEARTEXT}", false },
	{ "{PLAIN.B64}c2VjcmV0", "doveadm pw", "{PLAIN}", false },
	{ "{PLAIN.HEX}736563726574", "doveadm pw", "{PLAIN}", false },
	{ "{LDAP-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==", "doveadm pw", "{LDAP-MD5}", false },
	{ "{LDAP-MD5.HEX}5ebe2294ecd0e0f08eab7690d2a6ee69", "doveadm pw", "{LDAP-MD5}", false },
	{ "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69", "doveadm pw", "{PLAIN-MD5}", false },
	{ "{PLAIN-MD5.B64}Xr4ilOzQ4PCOq3aQ0qbuaQ==", "doveadm pw", "{PLAIN-MD5}", false },
	{ "{SHA1}5en6G6MezRroT3XKqkdPOmY/BfQ=", "doveadm pw", "{SHA1}", false },
	{ "{SHA1.HEX}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4", "doveadm pw", "{SHA1}", false },
	{ "{SHA256.HEX}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "doveadm pw", "{SHA256}",
	    false },
	{ "{SHA256}2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "the digest above, nothing said",
	    "{SHA256}", false },
	{ "{MD5}5ebe2294ecd0e0f08eab7690d2a6ee69", "the digest above, nothing said", "{MD5}", false },
	{ "{SHA512.HEX}"
	  "bd2b1aaf7ef4f09be9f52ce2d8d599674d81aa9d6a4421696dc4d93dd0619d682ce56b4d64a9ef097761ced99e0f67265b5f76085e5b"
	  "0ee7ca4696b2ad6fe2b2",
	    "doveadm pw", "{SHA512}", false },
	{ "{SHA384}WKd1ukESvjAFrkQHznV9iP2nHUBJe7gCbsrFTU4//HIyzo3jq1rLMK45dg/ufFPt", "slappasswd", "{SHA384}", false },
	{ "{SMD5}0xsAvGzBL2c/OnpETsuhf9Zz3Ro=", "doveadm pw", "{SMD5}", false },
	{ "{SMD5.HEX}dc3f66d44a9ab0c9fe1778ea18426fdf490b47ff", "doveadm pw", "{SMD5}", false },
	{ "{SMD5}8+rmrtnzIr1SOwi1FituFV2YAiU=", "slappasswd", "{SMD5}", false },
	{ "{SSHA}ndTpclA5ZGr3KUFK8bVN5Zw8bE7S8rtd", "doveadm pw", "{SSHA}", false },
	{ "{SSHA.HEX}53d72d8b9b502a2b7f28cf76e4e11e837302a30d7cbd61a2", "doveadm pw", "{SSHA}", false },
	{ "{SSHA256}q9kSIY488QNM1Ry15/T6NunW1UG+swAup4/ISlYuuFiLxtru", "doveadm pw", "{SSHA256}", false },
	{ "{SSHA256.B64}n9dpCtAVlpgCvkevDnqe7ZarFy3ZxQS6fqouJfII+6gRu144", "doveadm pw", "{SSHA256}", false },
	{ "{SSHA256}6NEpEuNuNASMSf0SMvdrYJHO2T9LetH4UA9/oRSJ2zvDzwb3ho9laA==", "slappasswd", "{SSHA256}", false },
	{ "{SSHA384}JhVrJuS38gz3JZQ58NNaBd8Gr1GyazT3zmuGK/gyFAuj7j4KJznM8ndrRW/M/zjeuQZEUcMpnYY=", "slappasswd",
	    "{SSHA384}", false },
	{ "{SSHA512}r7v/IkCLhngI3cxAe1AQGKuXRNh/BtOQgS6sL1A9rPyT5KoabTYbspdwQ6T8VhtcoPV6bQROyKUDaSejfBWJJkeqxIs=",
	    "doveadm pw", "{SSHA512}", false },
	{ "{SSHA512.HEX}"
	  "e8117296afb72ca370df79007f498c21ecf9177ee0076bb5ffcc64f6862c288c01e419e32e7d0ae9679c51e0e30fdaf9dde9ceaa7aca"
	  "cd1f7cb735c43040b622e60ef3b7",
	    "doveadm pw", "{SSHA512}", false },
	{ "{SSHA512}XP/ypE5vWqaPJovrFHRx75zj5Fjn33GT5d0Gq55ZnbvSDZevOBSVgUga9tCh7Cw02EpmcbaP8yUZAeHoCSSCSMYWHCd5Yvl6",
	    "slappasswd", "{SSHA512}", false },
	{ "{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56", "doveadm pw", "{CRAM-MD5}",
	    false },
	{ "{CRAM-MD5.B64}zTun3qrW5cojRIukLjeXR6ng9/H7wAyKgbuqw5VzG1Y=", "doveadm pw", "{CRAM-MD5}", false },
	{ "{HMAC-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56", "doveadm pw", "{HMAC-MD5}",
	    false },
	{ "{MD5}$1$HZktepXA$67jrVrIkl2.RQmo1RqH3Y/", "doveadm pw", "$1$", true },
	{ "{MD5.B64}JDEkeFd1YWtWSkgkWVZRR1VlR0dxbzRlcmxOckRjVkFjMQ==", "doveadm pw", "{CRYPT}", true },
	{ "{MD5.HEX}2431246464547775696735246147676c486e4e6e38476554746d487a51516b78352f", "doveadm pw", "{CRYPT}",
	    true },
	{ "{MD5-CRYPT}$1$C4zCVrgO$EgW57Tya3V/JO4fT1TguX/", "doveadm pw", "$1$", true },
	{ "{DES-CRYPT}ryRJ0piakuR1k", "doveadm pw", "DES", true },
	{ "{SHA256-CRYPT}$5$MnhuyMY/BgVKzLQk$DNdyOn3iFzoa3ujXWwv0seB.ZNiIJvQ9hTqfP4XHXiB", "doveadm pw", "$5$", true },
	{ "{SHA512-CRYPT}$6$206dGPaqwo2yWd2a$wlVg5/"
	  "JgXh8DezqNYhE6zOkDIM8ZRy6p2fmJX3tL7OsDhJZiorx4I1t51AXcKUsv5oVBUN8qQtAdHN3TIY8zF.",
	    "doveadm pw", "$6$", true },
	{ "{BLF-CRYPT}$2y$05$IX8BpCeFwOqr5EzdgDVuVe1Ny/dTPfUUQ3a6eX4BniB5F8ty5Oyyu", "doveadm pw", "$2y$", true },
	{ "{CRYPT}$2y$05$l9Cdpgxl0y.YiHsp6xk4t.whg11mRydVfhUfawSeF6ewtcGz5A9.u", "doveadm pw", "$2y$", true },
	{ "{PBKDF2}$1$WIpEAJXwO9tMRIzV$5000$93b9253ba32a013a788eab1085d231c2079ea541", "doveadm pw", "{PBKDF2}", true },
	{ "{PBKDF2}$1$agnRjXscNZqoRDdd$1000$92d5f0094374fa4a24bddbfd1049325d1203bfc0", "doveadm pw", "{PBKDF2}", true },
	{ "{PBKDF2}10000$pfprrqavbfdu8SRpjNPusw$w8JsZpjpEkFIezdkpB/.pmHx4qc", "slappasswd, pw-pbkdf2", "{PBKDF2}",
	    true },
	{ "{PBKDF2-SHA1}10000$AKa4wXySq2Wtjrzm8DFxxg$Ro3NOw0SjApstaurzKqHIm6NZFY", "slappasswd, pw-pbkdf2",
	    "{PBKDF2-SHA1}", true },
	{ "{PBKDF2-SHA256}10000$Sz.sxG3.tzZmhhwBmzr82w$3IvdQcV/67FPghpm.7Uf3763n67psWTfCIhm9fasj8s",
	    "slappasswd, pw-pbkdf2", "{PBKDF2-SHA256}", true },
	{ "{PBKDF2-SHA512}10000$EGBdHUOBiaZenawdPNHlgQ$MUt.O/H0sgdX1SrRlXpQb7/"
	  "2kYLi3DBU7U9bVDWUry0RNOzHLY7861Jvhd8kMuNXcmxwWsQrBznziTKCNbw29A",
	    "slappasswd, pw-pbkdf2", "{PBKDF2-SHA512}", true },
	{ "{SCRAM-SHA-1}4096,1epmVDaEql2brUpvAh8X2Q==,zQsITpOxmzuWzp7sFjDrKV0OPfQ=,xAqTLPPeARf18fUCTO1uBvqRMLU=",
	    "doveadm pw", "{SCRAM-SHA-1}", true },
	{ "{SCRAM-SHA-256}4096,YKNBI5EWp4NnfEP0fKnmeA==,As/"
	  "LZG7xYxFvCZoOooxtqQfgabvNTQpVqgttE1pjhMo=,WAM13acmEfHxvds8o3JFOyf6jDlQYo4KKPJWJyIFqJ4=",
	    "doveadm pw", "{SCRAM-SHA-256}", true },
	{ "{SCRAM-SHA-1.B64}"
	  "NDA5NixCMDB1cStmUGFuUHlwWklmVll0OERnPT0salhpVlhzSlpzNHdDZHEram5iRllwWXJYRmQwPSxWNnlvdktkWEE3YlFlMWsvb2R2bVhl"
	  "aGNOK1U9",
	    "doveadm pw", "{SCRAM-SHA-1}", true },
	{ "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$9KKb8hp0JuDiLpXJxeWizg$FkKJ+3o6iLmAh/eZvfjZtZsGiW/uwJfuMteNNIlW/js",
	    "doveadm pw", "{ARGON2I}", true },
	{ "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$bBtPMdE2ONBcqw9mGaN3kg$+BT086hLiepxl1/Q7EO+TAWJ/09paZPEXEeU8zBiGF8",
	    "doveadm pw", "{ARGON2ID}", true },
	{ "{ARGON2ID.B64}"
	  "JGFyZ29uMmlkJHY9MTkkbT02NTUzNix0PTMscD0xJGdyeFJsdFhheVlHaDdwK0pJTk1jUnckUmE3bWZ4VEdRZkFJbXAwRWxsS1FOaHp3MDZu"
	  "YTRHdnA1ajVIRU5ZYnBCUQ==",
	    "doveadm pw", "{ARGON2ID}", true },
	{ "{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$V6KKQu2DE/7cw7O+m9UoCw$HU3L7lzlwgsY1/FN5WpxuGGSxzLLonpj/AXJ12548ig",
	    "slappasswd", "{ARGON2}", true },
	{ "$argon2id$v=19$m=4096,t=2,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY", "argon2", "{ARGON2}",
	    true },
	{ "$argon2d$v=19$m=1024,t=2,p=1$c2FsdHNhbHQ$/By3TKYQbttalYAWAA5U+sV2PWmdj5y0PN7An2RmRPA", "argon2", "{ARGON2}",
	    true },
	{ "$argon2i$v=16$m=1024,t=2,p=2$c2FsdHNhbHQ$Nn7PTVgQJmvnannwn7cCq/5DnAJeJcyqYNCHufEFu80", "argon2", "{ARGON2}",
	    true },
	{ "$argon2i$m=1024,t=2,p=2$c2FsdHNhbHQ$Nn7PTVgQJmvnannwn7cCq/5DnAJeJcyqYNCHufEFu80",
	    "argon2, as before version 19", "{ARGON2}", true },
};

static void test_vectors(void)
{
	char scheme[16];
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];

		CU_ASSERT_EQUAL(password_check(v->hash, "secret"), AUTH_OK);
		CU_ASSERT_EQUAL(password_check(v->hash, "secreT"), AUTH_MISMATCH);
		CU_ASSERT_EQUAL(password_check(v->hash, ""), AUTH_MISMATCH);
		CU_ASSERT_TRUE(password_is_sound(v->hash, &why));
		CU_ASSERT_EQUAL(password_is_slow(v->hash), v->slow);
		CU_ASSERT_STRING_EQUAL(password_scheme(v->hash, scheme), v->scheme);
	}
}

/* Cut, these are sometimes valid: a shorter salt, digest, or password. */
static bool may_be_shorter(const char *scheme)
{
	static const char *const such[] = { "{SMD5}", "{SSHA}", "{SSHA256}", "{SSHA384}", "{SSHA512}", "{PLAIN}",
		"{CLEAR}", "{CLEARTEXT}", "{ARGON2}", "{ARGON2I}", "{ARGON2ID}",
		"{CRYPT}" /* {MD5.HEX}: the front is as a digest */ };

	for (size_t i = 0; i < ARRAY_LEN(such); i++)
		if (strcmp(such[i], scheme) == 0)
			return true;
	return false;
}

/* A truncated hash must not look like a wrong password. */
static void test_cut(void)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		char cut[ACCOUNT_HASH_MAX];
		size_t len = strlen(vectors[i].hash);
		const char *why;

		for (size_t n = 1; n < len; n++) {
			memcpy(cut, vectors[i].hash, n);
			cut[n] = '\0';
			if (password_is_sound(cut, &why)) {
				CU_ASSERT_TRUE(may_be_shorter(vectors[i].scheme));
				continue;
			}
			CU_ASSERT_NOT_EQUAL(why[0], '\0');
			CU_ASSERT_EQUAL(password_check(cut, "secret"), AUTH_BROKEN);
		}
	}
}

static void test_no_hash(void)
{
	static const char *const locked[] = { "", "*", "!", "!!", "!$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "{CRYPT}*",
		"{crypt}!", "*LK*" };
	static const char *const broken[] = { "secret", "$", "$9$salt$hash", "{ARGON2ID}$argon2id$v=19", "{PLAIN}",
		"{CLEAR.HEX}736563726", "{PLAIN.HEX}00",
		"{PLAIN.B64}AA==", "{DIGEST-MD5}0c6dd806f6f82ad453a1e6460255765f", "{PLAIN-TRUNC}6-secret",
		"{SHA.}5en6G6MezRroT3XKqkdPOmY/BfQ=", "{SHA.B32}x", "{", "{CRYPT}", "{SHA}",
		"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ= ", "{MD5RAW}5ebe", "x",
		"{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "{CRYPT}{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "a b4567890123",
		"$2b$05$Z54zKfCPLBaXoxYerthNreV6qvjB2OzAtyTtrsQpOp1v1MpTzT8w:" };
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(locked); i++) {
		CU_ASSERT_EQUAL(password_check(locked[i], "secret"), AUTH_DISABLED);
		CU_ASSERT_EQUAL(password_check(locked[i], locked[i]), AUTH_DISABLED);
		CU_ASSERT_FALSE(password_is_slow(locked[i]));
		CU_ASSERT_TRUE(password_is_sound(locked[i], &why));
	}
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		CU_ASSERT_EQUAL(password_check(broken[i], "secret"), AUTH_BROKEN);
		CU_ASSERT_FALSE(password_is_sound(broken[i], &why));
	}
}

/* A typo in a cost must not take all memory, nor a worker for minutes. None of these is computed. */
static void test_costs(void)
{
	static const char *const costly[] = {
		"{ARGON2ID}$argon2id$v=19$m=1048577,t=1,p=1$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"{ARGON2ID}$argon2id$v=19$m=1048576,t=9,p=1$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"{ARGON2ID}$argon2id$v=19$m=64,t=4294967295,p=1$c2FsdHNhbHQ$"
		"Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"$argon2id$v=19$m=65536,t=1,p=256$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"{PBKDF2}$1$agnRjXscNZqoRDdd$10000001$92d5f0094374fa4a24bddbfd1049325d1203bfc0",
		"{PBKDF2-SHA256}10000001$Sz.sxG3.tzZmhhwBmzr82w$3IvdQcV/67FPghpm.7Uf3763n67psWTfCIhm9fasj8s",
		"{SCRAM-SHA-1}10000001,1epmVDaEql2brUpvAh8X2Q==,zQsITpOxmzuWzp7sFjDrKV0OPfQ=,"
		"xAqTLPPeARf18fUCTO1uBvqRMLU=",
		"$5$rounds=10000001$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
		"$md5,rounds=10000001$5x3vrjfc$$0Vg5jE/6olzYKhdfc/rjw1",
		"$sha1$10000001$abcdefgh$ji8ESnkwjcTjo4hThodnLYyi.3yG",
		"$y$jGT$QD7rFVUFRZARlkf6QhWTJ0$gALUTvwBmjU7lFfUyYAY794X4vIgRBeq5G1Ixb.rgR.",
		"$y$jFU$QD7rFVUFRZARlkf6QhWTJ0$gALUTvwBmjU7lFfUyYAY794X4vIgRBeq5G1Ixb.rgR.",
		"$gy$jzT$MqESHwiiwE0RVYcRAz5yP/$Ji41QPvf/6Wrq.2LiHxgPiChTdtWhggaWzLUE2R46mA",
		"$7$HU..../....dgk1sMKcd.AZn9LrdpbnC1$OYU8csJIw735w4fnFzxNkL.3Hj0vJNwbln7.t0iMP61",
		"$7$C....z/....dgk1sMKcd.AZn9LrdpbnC1$OYU8csJIw735w4fnFzxNkL.3Hj0vJNwbln7.t0iMP61",
		"$2b$18$Z54zKfCPLBaXoxYerthNreV6qvjB2OzAtyTtrsQpOp1v1MpTzT8wi",
	};
	static const char *const impossible[] = {
		"$argon2id$v=19$m=31,t=2,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"$argon2id$v=19$m=4096,t=0,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"$argon2id$v=19$m=4096,t=2,p=0$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"$argon2id$v=19$m=4096,t=02,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"$argon2id$v=20$m=4096,t=2,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"$argon2id$v=19$m=4096,t=2,p=4$c2FsdA$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		/* Bits behind the end. */
		"$argon2id$v=19$m=4096,t=2,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTZ",
		"$argon2id$v=19$m=4096,t=2,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY=",
		"$argon2x$v=19$m=4096,t=2,p=4$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
		"{PBKDF2}$1$agnRjXscNZqoRDdd$0$92d5f0094374fa4a24bddbfd1049325d1203bfc0",
		"{PBKDF2}$1$$1000$92d5f0094374fa4a24bddbfd1049325d1203bfc0",
		"{PBKDF2}$2$agnRjXscNZqoRDdd$1000$92d5f0094374fa4a24bddbfd1049325d1203bfc0",
		"{PBKDF2-SHA256}10000$Sz.sxG3.tzZmhhwBmzr82w$w8JsZpjpEkFIezdkpB/.pmHx4qc",
		"{PBKDF2-SHA256}10000$Sz+sxG3+tzZmhhwBmzr82w$3IvdQcV/67FPghpm.7Uf3763n67psWTfCIhm9fasj8s",
	};
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(costly); i++) {
		CU_ASSERT_FALSE(password_is_sound(costly[i], &why));
		CU_ASSERT_TRUE(strstr(why, "too high") != NULL || strstr(why, "10000000") != NULL);
		CU_ASSERT_EQUAL(password_check(costly[i], "secret"), AUTH_BROKEN);
	}
	for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
		CU_ASSERT_FALSE(password_is_sound(impossible[i], &why));
		CU_ASSERT_EQUAL(password_check(impossible[i], "secret"), AUTH_BROKEN);
	}
	/* The highest costs allowed; not computed here. */
	CU_ASSERT_TRUE(password_is_sound("$argon2id$v=19$m=1048576,t=8,p=4$c2FsdHNhbHQ$"
	                                 "Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY",
	    &why));
	CU_ASSERT_TRUE(
	    password_is_sound("$y$jFT$QD7rFVUFRZARlkf6QhWTJ0$gALUTvwBmjU7lFfUyYAY794X4vIgRBeq5G1Ixb.rgR.", &why));
	CU_ASSERT_TRUE(
	    password_is_sound("$7$GU..../....dgk1sMKcd.AZn9LrdpbnC1$OYU8csJIw735w4fnFzxNkL.3Hj0vJNwbln7.t0iMP61",
	        &why));
	CU_ASSERT_TRUE(password_is_sound("$6$rounds=656000$abcdefgh$ltjgWl6579NluT/"
	                                 "Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/"
	                                 "1GM/O6IND4WQhG.",
	    &why));
}

static void test_clear(void)
{
	char clear[ACCOUNT_PASSWORD_MAX], *longest = NULL;

	CU_ASSERT_TRUE(password_clear("{PLAIN}secret", clear));
	CU_ASSERT_STRING_EQUAL(clear, "secret");
	CU_ASSERT_TRUE(password_clear("{cleartext.b64}c2VjcmV0", clear));
	CU_ASSERT_STRING_EQUAL(clear, "secret");
	CU_ASSERT_TRUE(password_clear("{PLAIN}{SSHA}x", clear)); /* only one name is read */
	CU_ASSERT_STRING_EQUAL(clear, "{SSHA}x");
	CU_ASSERT_FALSE(password_clear("secret", clear));
	CU_ASSERT_STRING_EQUAL(clear, "");
	CU_ASSERT_FALSE(password_clear("{PLAIN}", clear));
	CU_ASSERT_FALSE(password_clear("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", clear));
	CU_ASSERT_FALSE(password_clear("", clear));
	memset(clear, 'x', sizeof(clear) - 1);
	clear[sizeof(clear) - 1] = '\0';
	memcpy(clear, "{PLAIN}", 7);
	longest = mem_printf("%s%s", clear, "x"); /* one byte more than a record holds */
	CU_ASSERT_FALSE(password_clear(longest, clear));
	CU_ASSERT_EQUAL(password_check(longest, longest + 7), AUTH_BROKEN);
	mem_free(&longest);
	/* The dummy of a clear password cannot be typed. */
	password_dummy(clear, "{PLAIN}secret");
	CU_ASSERT_STRING_EQUAL(clear, "{PLAIN}\x7f\x7f\x7f\x7f\x7f\x7f");
}

static void test_long_password(void)
{
	char password[ACCOUNT_PASSWORD_MAX];

	memset(password, 'x', sizeof(password) - 1);
	password[sizeof(password) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		CU_ASSERT_EQUAL(password_check(vectors[i].hash, password), AUTH_MISMATCH);
}

static void test_dummy(void)
{
	char dummy[ACCOUNT_HASH_MAX];
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const char *hash = vectors[i].hash;

		password_dummy(dummy, hash);
		CU_ASSERT_TRUE(password_is_sound(dummy, &why));
		CU_ASSERT_EQUAL(password_is_slow(dummy), vectors[i].slow);
		CU_ASSERT_EQUAL(password_class(dummy), password_class(hash));
		CU_ASSERT_EQUAL(strncasecmp(dummy, hash, password_class(hash)), 0);
		CU_ASSERT_EQUAL(password_check(dummy, "secret"), AUTH_MISMATCH);
	}
	password_dummy(dummy, "");
	CU_ASSERT_TRUE(password_is_slow(dummy));
	CU_ASSERT_EQUAL(password_check(dummy, ""), AUTH_MISMATCH);
	password_dummy(dummy, "$sha1{$x$"); /* libcrypt takes it for one of its own */
	CU_ASSERT_TRUE(password_is_sound(dummy, &why));
	password_dummy(dummy,
	    "$7$CU..../....dgnCnFzxNkL.3Hj0vJNwbln7.t0iMP61"); /* no cost before the last 43 characters */
	CU_ASSERT_TRUE(password_is_sound(dummy, &why));
	password_dummy(dummy, "not a hash");
	CU_ASSERT_EQUAL(password_check(dummy, ""), AUTH_MISMATCH);
}

static void test_class(void)
{
	CU_ASSERT_EQUAL(password_class("$6$rounds=100000$salt$hash"), strlen("$6$rounds=100000"));
	CU_ASSERT_EQUAL(password_class("$6$salt$hash"), strlen("$6$"));
	CU_ASSERT_EQUAL(password_class("$2y$12$saltandhash"), strlen("$2y$12"));
	CU_ASSERT_EQUAL(password_class("$y$jD5$salt$hash"), strlen("$y$jD5"));
	CU_ASSERT_EQUAL(password_class("{SHA}xx"), strlen("{SHA}"));
	CU_ASSERT_EQUAL(password_class("{CRYPT}$2y$12$saltandhash"), strlen("{CRYPT}$2y$12"));
	CU_ASSERT_EQUAL(password_class("$argon2id$v=19$m=4096,t=2,p=4$c2Fsd"), strlen("$argon2id$v=19$m=4096,t=2,p=4"));
	CU_ASSERT_EQUAL(password_class("{ARGON2}$argon2i$v"), strlen("{ARGON2}"));
	CU_ASSERT_EQUAL(password_class("{SCRAM-SHA-1}4096,1epm"), strlen("{SCRAM-SHA-1}4096"));
	CU_ASSERT_EQUAL(password_class("{PBKDF2-SHA256}10000$Sz."), strlen("{PBKDF2-SHA256}10000"));
	CU_ASSERT_EQUAL(password_class("{PBKDF2}$1$salt$5000$93b"), strlen("{PBKDF2}$1$salt$5000"));
	CU_ASSERT_EQUAL(password_class("{NONE}x"), 0);
	CU_ASSERT_EQUAL(password_class(""), 0);
	CU_ASSERT_EQUAL(password_class("$7$"), 3);
	CU_ASSERT_EQUAL(password_class("$md5,rounds=81986$5x3vrjfc"), strlen("$md5,rounds=81986"));
	CU_ASSERT_EQUAL(password_class("$md5$5x3vrjfc"), strlen("$md5"));
	CU_ASSERT_EQUAL(password_class("_"), 1);
}

static void test_make(void)
{
	static const char *const schemes[] = { "", "$y$", "$6$", "$5$", "$2b$", "$1$", "{MD5}", "{MD5RAW}", "{SHA}",
		"{SHA256}", "{SHA512}", "{SSHA}", "{ssha}", "{SHA384}", "{SMD5}", "{SSHA256}", "{SSHA512}",
		"{SSHA512.HEX}", "{ARGON2I}", "{ARGON2ID}", "{argon2id.b64}", "{SCRAM-SHA-1}", "{SCRAM-SHA-256}" };
	static const char *const unknown[] = { "{CRYPT}", "{PLAIN}", "{PBKDF2}", "{CRAM-MD5}", "{MD5}$1$", "{SHA.X}",
		"$9$", "md5", "{" };
	char a[ACCOUNT_HASH_MAX], b[ACCOUNT_HASH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		CU_ASSERT_TRUE(password_make(a, schemes[i], "s\xc3\244cret"));
		CU_ASSERT_EQUAL(strncasecmp(a, schemes[i], strlen(schemes[i])), 0);
		CU_ASSERT_EQUAL(password_check(a, "s\xc3\244cret"), AUTH_OK);
		CU_ASSERT_EQUAL(password_check(a, "secret"), AUTH_MISMATCH);
	}
	CU_ASSERT_TRUE(password_make(a, "{SSHA}", "x"));
	CU_ASSERT_TRUE(password_make(b, "{SSHA}", "x"));
	CU_ASSERT_STRING_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(strlen(a), strlen("{SSHA}") + 32); /* 4 bytes of salt: Courier reads no more */
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		CU_ASSERT_FALSE(password_make(a, unknown[i], "x"));
}

static void test_auth_check(void)
{
	struct account a;

	account_init(&a);
	CU_ASSERT_EQUAL(auth_check(&a, ""), AUTH_DISABLED);
	account_set(&a.clear, "open");
	CU_ASSERT_EQUAL(auth_check(&a, "open"), AUTH_OK);
	CU_ASSERT_EQUAL(auth_check(&a, "opem"), AUTH_MISMATCH);
	CU_ASSERT_EQUAL(auth_check(&a, ""), AUTH_MISMATCH);
	account_set(&a.hash, vectors[3].hash);
	CU_ASSERT_EQUAL(auth_check(&a, "secret"), AUTH_OK);
	CU_ASSERT_EQUAL(auth_check(&a, "open"), AUTH_MISMATCH);
	account_fini(&a);
}

static const struct unit_case cases[] = {
	{ "vectors of other programs", test_vectors },
	{ "cut hashes", test_cut },
	{ "locked, empty, unknown", test_no_hash },
	{ "costs", test_costs },
	{ "clear passwords", test_clear },
	{ "a password longer than any", test_long_password },
	{ "dummies", test_dummy },
	{ "class", test_class },
	{ "new hashes", test_make },
	{ "hash or clear password", test_auth_check },
	{ NULL, NULL },
};

UNIT_MAIN("password", cases)
