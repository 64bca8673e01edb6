#include "openLibrary.h"

#include <dlfcn.h>

#include <cstdlib>

#include "buffer.h"

namespace spinfer {
namespace {

std::vector<std::string> folders() {
  std::vector<std::string> list;
  if (const char* named = std::getenv("SPINFER_CUDA_LIBRARIES")) {
    std::string folder;
    for (const char* at = named;; ++at) {
      if (*at != ':' && *at != 0) {
        folder += *at;
        continue;
      }
      if (!folder.empty()) list.push_back(folder + "/");
      folder.clear();
      if (*at == 0) break;
    }
  }
  list.push_back("");  // the loader's own search
  list.push_back("/usr/local/cuda/targets/x86_64-linux/lib/");
  list.push_back("/usr/local/cuda/lib64/");
  return list;
}

}  // namespace

OpenLibrary::OpenLibrary(const char* title, const std::vector<std::string>& names)
    : title_(title) {
  std::string tried;
  for (const std::string& name : names) tried += (tried.empty() ? "" : ", ") + name;
  for (const std::string& folder : folders()) {
    for (const std::string& name : names) {
      handle_ = dlopen((folder + name).c_str(), RTLD_NOW | RTLD_GLOBAL);
      if (handle_ != nullptr) return;
    }
  }
  throw Failure{SPINFER_MISSING, title_ + " was not found: no " + tried +
                                     " (SPINFER_CUDA_LIBRARIES names folders to look in)"};
}

void* OpenLibrary::symbol(const char* name) const {
  void* found = dlsym(handle_, name);
  if (found == nullptr) throw Failure{SPINFER_MISSING, title_ + " has no " + name};
  return found;
}

}  // namespace spinfer
