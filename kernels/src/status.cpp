// The last error of each thread.
#include "status.h"

#include <cstdarg>
#include <cstdio>

namespace spinfer {
namespace {
constexpr int kLongestSentence = 512;
thread_local char last_error[kLongestSentence] = "";
}  // namespace

spinfer_status fail(spinfer_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

}  // namespace spinfer

extern "C" int32_t spinfer_abi_version(void) { return SPINFER_ABI_VERSION; }
extern "C" const char* spinfer_last_error(void) { return spinfer::last_error; }
