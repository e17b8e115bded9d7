# mime/: RFC 5322 and MIME text. No files, no sockets.
EXTRA_DIST += \
	mime/addr.h \
	mime/charset.h \
	mime/ctype.h \
	mime/date.h \
	mime/decode.h \
	mime/hdr.h \
	mime/part.h \
	mime/word.h
