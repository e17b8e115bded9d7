# Build rules of authd/.
noinst_LIBRARIES += authd/libauthd.a
authd_libauthd_a_SOURCES = \
	authd/authworker.c authd/authworker.h \
	authd/job.c authd/job.h
AUTHD_LIBS = authd/libauthd.a $(AUTHLIB_LIBS)
