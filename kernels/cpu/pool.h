// Threads that share the iterations of a loop. The calling thread works too.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace spinfer::cpu {

class Pool {
 public:
  // Throws std::system_error when a thread cannot be started.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(index, thread) for every index in [0, count), each once, in no order; `thread` is in
  // [0, threads()) and two calls of the same thread do not overlap. Returns when all are done. The
  // body must not throw and must not run another loop.
  template <typename Body>
  void each(int64_t count, Body&& body) {
    if (count <= 0) return;
    run(
        count,
        [](void* context, int64_t index, int thread) {
          (*static_cast<std::remove_reference_t<Body>*>(context))(index, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Calls body(begin, end, thread) for runs of about `grain` indexes that together are [0, count).
  template <typename Body>
  void ranges(int64_t count, int64_t grain, Body&& body) {
    const int64_t runs = (count + grain - 1) / grain;
    each(runs, [&](int64_t run, int thread) {
      const int64_t begin = run * grain;
      body(begin, begin + grain < count ? begin + grain : count, thread);
    });
  }

 private:
  using Call = void (*)(void* context, int64_t index, int thread);

  void run(int64_t count, Call call, void* context);
  void stop();
  void work(int thread);
  void take(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable posted_, finished_;
  std::atomic<uint64_t> loop_{0};  // raised for each loop
  std::atomic<int> busy_{0};       // workers that have not finished this loop
  bool closing_ = false;

  Call call_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
};

}  // namespace spinfer::cpu
