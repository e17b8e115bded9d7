# mime/: RFC 5322 and MIME text. No files, no sockets.
noinst_LIBRARIES += mime/libmime.a
mime_libmime_a_SOURCES = \
	mime/addr.c mime/addr.h \
	mime/charset.c mime/charset.h \
	mime/collate.c mime/collate.h \
	mime/ctype.c mime/ctype.h \
	mime/param.c mime/param.h \
	mime/date.c mime/date.h \
	mime/decode.c mime/decode.h \
	mime/hdr.c mime/hdr.h \
	mime/part.c mime/part.h \
	mime/subject.c mime/subject.h \
	mime/wire.c mime/wire.h \
	mime/word.c mime/word.h
# What a program needs that uses mime/, before LIB_LIBS.
MIME_LIBS = mime/libmime.a $(UNISTRING_LIBS)
EXTRA_DIST += mime/README
