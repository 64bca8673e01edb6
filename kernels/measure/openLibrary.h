// Libraries that are opened at run time, so that libspinfer.so itself needs libc alone.
#pragma once

#include <string>
#include <vector>

namespace spinfer {

// Tries each name in the folders of SPINFER_CUDA_LIBRARIES, as the loader finds it, and where
// CUDA's packages put it. Throws Failure SPINFER_MISSING with the names and folders.
class OpenLibrary {
 public:
  OpenLibrary(const char* title, const std::vector<std::string>& names);
  // Throws Failure SPINFER_MISSING when the library has no such function.
  template <class Function>
  Function find(const char* name) const {
    return reinterpret_cast<Function>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;
  std::string title_;
  void* handle_ = nullptr;  // stays open as long as the process
};

}  // namespace spinfer
