# SPDX-License-Identifier: MIT
# What configure.ac asks for more than once.

# MCQ_CFLAGS_IF(VARIABLE, FLAGS...)
# Appends each flag to VARIABLE when the compiler takes it.  -Werror makes
# compilers that only warn about unknown flags say no.
AC_DEFUN([MCQ_CFLAGS_IF], [
  m4_foreach([mcq_flag], [m4_shift($@)], [
    AS_VAR_PUSHDEF([mcq_var], [mcq_cv_cflag_]mcq_flag)
    AC_CACHE_CHECK([whether $CC takes mcq_flag], [mcq_var], [
      mcq_save_CFLAGS=$CFLAGS
      CFLAGS="$CFLAGS -Werror mcq_flag"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
        [AS_VAR_SET([mcq_var], [yes])], [AS_VAR_SET([mcq_var], [no])])
      CFLAGS=$mcq_save_CFLAGS
    ])
    AS_VAR_IF([mcq_var], [yes], [AS_VAR_APPEND([$1], [" mcq_flag"])])
    AS_VAR_POPDEF([mcq_var])
  ])
])

# MCQ_SANITIZER(NAME, WHAT)
# --enable-NAME: everything is compiled and linked with -fsanitize=WHAT.
AC_DEFUN([MCQ_SANITIZER], [
  AC_ARG_ENABLE([$1],
    [AS_HELP_STRING([--enable-$1], [compile with -fsanitize=$2])],
    [], [enable_$1=no])
  AS_IF([test "x$enable_$1" != xno], [
    mcq_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -fsanitize=$2"
    AC_MSG_CHECKING([whether $CC links with -fsanitize=$2])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
      [AC_MSG_RESULT([yes])],
      [AC_MSG_RESULT([no])
       AC_MSG_ERROR([--enable-$1: $CC cannot link with -fsanitize=$2])])
    CFLAGS=$mcq_save_CFLAGS
    AS_VAR_APPEND([MCQ_SANITIZE], [" -fsanitize=$2"])
  ])
])

# MCQ_OPTIONAL(NAME, PREFIX, MODULE, HELP)
# --with-NAME=auto|yes|no looks for a pkg-config module; sets have_NAME to yes
# or no and why_NAME to a word for the summary.  yes and missing is an error.
AC_DEFUN([MCQ_OPTIONAL], [
  AC_ARG_WITH([$1],
    [AS_HELP_STRING([--with-$1=auto|yes|no], [$4 @<:@auto@:>@])],
    [], [with_$1=auto])
  have_$1=no
  AS_CASE([$with_$1],
    [no], [why_$1="no (as asked)"],
    [auto|yes], [
      PKG_CHECK_MODULES([$2], [$3],
        [have_$1=yes
         why_$1="yes"],
        [AS_IF([test "x$with_$1" = xyes],
          [AC_MSG_ERROR([--with-$1=yes, but pkg-config finds no $3])])
         why_$1="no ($3 not found)"])],
    [AC_MSG_ERROR([--with-$1 takes auto, yes or no, not '$with_$1'])])
  AS_IF([test "x$have_$1" = xno], [
    $2[]_CFLAGS=
    $2[]_LIBS=
  ])
])
