#include "pool.h"

#include <immintrin.h>

namespace spinfer::cpu {
namespace {

// Loops follow each other within microseconds: a worker looks for the next one a while before it
// sleeps, which would cost more than many a loop.
constexpr int kLooks = 1000;

template <typename Condition>
bool seenWhileSpinning(Condition&& condition) {
  for (int look = 0; look < kLooks; look++) {
    if (condition()) return true;
    _mm_pause();
  }
  return false;
}

}  // namespace

Pool::Pool(int threads) {
  workers_.reserve(threads - 1);
  try {
    for (int thread = 1; thread < threads; thread++)
      workers_.emplace_back([this, thread] { work(thread); });
  } catch (...) {
    stop();
    throw;
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  posted_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void Pool::run(int64_t count, Call call, void* context) {
  call_ = call;
  context_ = context;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  if (count == 1 || workers_.empty()) {
    take(0);
    return;
  }
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    loop_.fetch_add(1, std::memory_order_release);
  }
  posted_.notify_all();
  take(0);
  const auto isDone = [this] { return busy_.load(std::memory_order_acquire) == 0; };
  if (seenWhileSpinning(isDone)) return;
  std::unique_lock lock(mutex_);
  finished_.wait(lock, isDone);
}

void Pool::work(int thread) {
  uint64_t seen = 0;
  for (;;) {
    const auto isPosted = [&] { return loop_.load(std::memory_order_acquire) != seen; };
    if (!seenWhileSpinning(isPosted)) {
      std::unique_lock lock(mutex_);
      posted_.wait(lock, [&] { return closing_ || isPosted(); });
      if (!isPosted()) return;
    }
    seen = loop_.load(std::memory_order_acquire);
    take(thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard lock(mutex_);
      finished_.notify_one();
    }
  }
}

void Pool::take(int thread) {
  for (;;) {
    const int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    call_(context_, index, thread);
  }
}

}  // namespace spinfer::cpu
