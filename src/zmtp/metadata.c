/* SPDX-License-Identifier: MIT */
/* Metadata, read and written.  Called once a connection; the sums are made in
 * the cursor, which never looks past the end whatever a length claims. */
#include "zmtp/metadata.h"

#include "base/cursor.h"

/* The next property, or false at the end or when `at` went bad. */
static bool take(mcq__cursor_t* at, mcq__property_t* p) {
  if (mcq__cursor_left(at) == 0) return false;
  p->name = mcq__cursor_take(at, mcq__cursor_u8(at));
  p->value = mcq__cursor_take(at, mcq__cursor_u32(at));
  return !at->bad;
}

int mcq__metadata_count(mcq__slice_t data, size_t* count) {
  mcq__cursor_t at = mcq__cursor(data);
  mcq__property_t p;
  *count = 0;
  while (take(&at, &p)) {
    if (p.name.len == 0 || *count == MCQ__PROPERTIES_MAX) return MCQ_EMETADATA;
    ++*count;
  }
  return at.bad ? MCQ_EMETADATA : 0;
}

void mcq__metadata_read(mcq__slice_t data, mcq__property_t* out, size_t count) {
  mcq__cursor_t at = mcq__cursor(data);
  for (size_t i = 0; i < count; i++) take(&at, &out[i]);
  mcq__check(!at.bad && mcq__cursor_left(&at) == 0);
}

static int lower(int c) {
  return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool same_name(mcq__slice_t a, const char* b) {
  size_t len = strlen(b);
  if (a.len != len) return false;
  for (size_t i = 0; i < len; i++)
    if (lower(a.data[i]) != lower((uint8_t) b[i])) return false;
  return true;
}

const mcq__property_t* mcq__metadata_find(const mcq__property_t* properties,
                                          size_t count, const char* name) {
  for (size_t i = 0; i < count; i++)
    if (same_name(properties[i].name, name)) return &properties[i];
  return NULL;
}

bool mcq__metadata_value(mcq__slice_t data, const char* name,
                         mcq__slice_t* out) {
  mcq__cursor_t at = mcq__cursor(data);
  mcq__property_t p;
  while (take(&at, &p)) {
    if (!same_name(p.name, name)) continue;
    *out = p.value;
    return true;
  }
  return false;
}

static size_t size_of(const mcq__property_t* p, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += 5 + p[i].name.len + p[i].value.len;
  return size;
}

/* Writes properties at offset `at`; returns the offset behind them. */
static size_t put(mcq__window_t* w, size_t at, const mcq__property_t* p,
                  size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint8_t name_len = (uint8_t) p[i].name.len;
    uint8_t value_len[4];
    mcq__check(p[i].name.len - 1 < 255 && p[i].value.len <= INT32_MAX);
    mcq__put_u32(value_len, (uint32_t) p[i].value.len);
    mcq__window_poke(w, at, &name_len, 1);
    mcq__window_poke(w, at + 1, p[i].name.data, name_len);
    at += 1 + (size_t) name_len;
    mcq__window_poke(w, at, value_len, 4);
    mcq__window_poke(w, at + 4, p[i].value.data, p[i].value.len);
    at += 4 + p[i].value.len;
  }
  return at;
}

/* Two lists one after the other, in one block. */
static int write_both(mcq__slice_t* out, mcq__pool_t* pool,
                      const mcq__property_t* first, size_t first_count,
                      const mcq__property_t* rest, size_t rest_count) {
  mcq__window_t w = {0};
  size_t size = size_of(first, first_count) + size_of(rest, rest_count);
  *out = mcq__slice_static(NULL, 0);
  if (size == 0) return 0;
  int rc = mcq__window_open_exact(&w, pool, size);
  if (rc != 0) return rc;
  size_t at = put(&w, 0, first, first_count);
  *out = mcq__window_freeze(&w, put(&w, at, rest, rest_count));
  mcq__window_close(&w);
  return 0;
}

int mcq__metadata_write(mcq__slice_t* out, mcq__pool_t* pool,
                        const mcq__property_t* properties, size_t count) {
  return write_both(out, pool, properties, count, NULL, 0);
}

static mcq__slice_t text(const char* s) {
  return mcq__slice_static(s, strlen(s));
}

int mcq__metadata_announce(mcq__slice_t* out,
                           const mcq__session_config_t* config) {
  mcq__property_t own[2] = {
      {text("Socket-Type"), text(config->socket_type)},
      {text("Identity"), config->routing_id},
  };
  return write_both(out, config->pool, own, config->send_routing_id ? 2 : 1,
                    config->properties, config->property_count);
}
