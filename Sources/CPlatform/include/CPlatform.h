// What Swift cannot say about Linux: epoll's packed struct, variadic calls, standard streams.
#pragma once
#include <stdio.h>

/// stdout and stderr, which are mutable globals to Swift 6.
static inline FILE *weft_stdout(void) { return stdout; }
static inline FILE *weft_stderr(void) { return stderr; }
