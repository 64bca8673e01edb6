// Status codes with a sentence: fail() keeps the sentence for spinfer_last_error().
#pragma once

#include "../include/spinfer.h"

namespace spinfer {

// Keeps the printf-style sentence for this thread and returns `status`.
__attribute__((format(printf, 2, 3))) spinfer_status fail(spinfer_status status, const char* format,
                                                          ...);

}  // namespace spinfer

// Returns SPINFER_BAD_ARGUMENT from the enclosing function unless the condition holds; the rest of
// the arguments is the sentence that names the values.
#define SPINFER_REQUIRE(condition, ...)                                          \
  do {                                                                           \
    if (!(condition)) return ::spinfer::fail(SPINFER_BAD_ARGUMENT, __VA_ARGS__); \
  } while (0)
