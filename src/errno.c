/* SPDX-License-Identifier: MIT */
/* Codes as text.  One table of our own; libuv knows the rest. */
#include "monocoque.h"

_Static_assert((int) MCQ_EAGAIN == (int) UV_EAGAIN &&
                   (int) MCQ_EINVAL == (int) UV_EINVAL &&
                   (int) MCQ_ENOMEM == (int) UV_ENOMEM &&
                   (int) MCQ_EEXIST == (int) UV_EEXIST &&
                   (int) MCQ_ENOENT == (int) UV_ENOENT &&
                   (int) MCQ_ENOTSUP == (int) UV_ENOTSUP &&
                   (int) MCQ_EHOSTUNREACH == (int) UV_EHOSTUNREACH &&
                   (int) MCQ_EADDRINUSE == (int) UV_EADDRINUSE &&
                   (int) MCQ_ETIMEDOUT == (int) UV_ETIMEDOUT &&
                   (int) MCQ_EOF == (int) UV_EOF,
               "codes with libuv's names have libuv's values");

const char* mcq_strerror(int code) {
  switch (code) {
    case 0:
      return "success";
#define TEXT(name, value, text) \
  case MCQ_##name:              \
    return text;
      MCQ_ERRNO_MAP(TEXT)
#undef TEXT
    default:
      break;
  }
  switch (code) { /* libuv allocates a text for a code it does not know */
#define TEXT(name, text) \
  case UV_##name:        \
    return text;
    UV_ERRNO_MAP(TEXT)
#undef TEXT
    default:
      return "unknown error";
  }
}

const char* mcq_err_name(int code) {
  switch (code) {
    case 0:
      return "OK";
#define NAME(name, value, text) \
  case MCQ_##name:              \
    return "MCQ_" #name;
      MCQ_ERRNO_MAP(NAME)
#undef NAME
    default:
      break;
  }
  switch (code) {
#define NAME(name, text) \
  case UV_##name:        \
    return #name;
    UV_ERRNO_MAP(NAME)
#undef NAME
    default:
      return "UNKNOWN";
  }
}

bool mcq_is_fatal(int code) {
  return code < 0 && code != MCQ_EAGAIN && code != MCQ_ENOMEM &&
         code != MCQ_EHOSTUNREACH && code != UV_EINTR && code != UV_ENOBUFS &&
         code != UV_EMFILE && code != UV_ENFILE && code != MCQ_ETIMEDOUT &&
         code != MCQ_ENOTNOW;
}
