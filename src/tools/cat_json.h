/* SPDX-License-Identifier: MIT */
/* The two things mcqcat says in JSON besides its numbers: bytes and text that
 * may not be UTF-8; and a whole value on a line. */
#ifndef CAT_JSON_H
#define CAT_JSON_H

#include <jansson.h>

#include "tool.h"

/* A string, or {"hex":"..."} where the bytes are not UTF-8. */
json_t* cat_json_bytes(const void* data, size_t len);

/* A string of lower-case hex. */
json_t* cat_json_hex(const void* data, size_t len);

/* Appends `value` and a newline to `out`, and gives `value` up. */
void cat_json_line(json_t* value, tool_buffer_t* out);

#endif
