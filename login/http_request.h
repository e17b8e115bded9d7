/* A web page can make a browser send anything to any port, as the body of a request: such words are no commands. */
#ifndef LOGIN_HTTP_REQUEST_H
#define LOGIN_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* The LEN bytes at P, a line or its beginning, are the first of an HTTP request (RFC 9112 section 3): a method, or
 * any line that ends with HTTP's version. With a known command it may still be one: ask for unknown ones only. */
bool http_request_begins(const char *p, size_t len);

#endif
