/* SPDX-License-Identifier: MIT */
/* JSON values and lines of mcqcat, on jansson.  Used by its formats, events
 * and statistics. */
#include "cat_json.h"

#include <stdlib.h>

#include "cat_format.h"

/* Every allocation of jansson that fails ends the program. */
static json_t* need(json_t* value) {
  if (value == NULL) exit(tool_fail("out of memory"));
  return value;
}

json_t* cat_json_hex(const void* data, size_t len) {
  tool_buffer_t hex = {0};
  cat_hex(data, len, &hex);
  json_t* value = need(json_stringn(hex.len > 0 ? hex.data : "", hex.len));
  tool_buffer_free(&hex);
  return value;
}

json_t* cat_json_bytes(const void* data, size_t len) {
  json_t* text = json_stringn(len > 0 ? data : "", len);
  if (text != NULL) return text;
  json_t* object = need(json_object());
  json_object_set_new(object, "hex", cat_json_hex(data, len));
  return object;
}

static int append(const char* data, size_t len, void* out) {
  tool_buffer_add(out, data, len);
  return 0;
}

void cat_json_line(json_t* value, tool_buffer_t* out) {
  if (json_dump_callback(need(value), append, out, JSON_COMPACT) != 0)
    exit(tool_fail("out of memory"));
  tool_buffer_add(out, "\n", 1);
  json_decref(value);
}
