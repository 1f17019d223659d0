#include "net/io/file_watch.h"

#include <sys/stat.h>
#include <uv.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "net/core/check.h"
#include "net/io/timer_wheel.h"

namespace hms::net {
namespace {

constexpr Millis kDebounce{100};
constexpr Millis kLookEvery{1000};
constexpr size_t kMostEntries = 10'000;  // of a watched directory; what is beyond is not looked at

bool is_yaml_name(std::string_view name) {
  return name.ends_with(".yaml") || name.ends_with(".yml");
}

void append_stat(std::string& out, const std::string& path) {
  struct stat found {};
  // stat, not lstat: Kubernetes swaps a symlink two levels up.
  if (stat(path.c_str(), &found) != 0) {
    out += "absent;";
    return;
  }
  for (const int64_t part :
       {static_cast<int64_t>(found.st_dev), static_cast<int64_t>(found.st_ino),
        static_cast<int64_t>(found.st_size), static_cast<int64_t>(found.st_mtim.tv_sec),
        static_cast<int64_t>(found.st_mtim.tv_nsec)}) {
    out += std::to_string(part);
    out += ';';
  }
}

std::vector<std::string> yaml_names(std::filesystem::directory_iterator entry) {
  std::vector<std::string> names;
  std::error_code failed;
  for (; !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
    std::string name = entry->path().filename().string();
    if (is_yaml_name(name) && names.size() < kMostEntries) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// What is compared: equal texts mean unchanged. Thread: any (may block on a slow disk).
std::string fingerprint(const std::string& path) {
  std::string out;
  std::error_code no_directory;
  const std::filesystem::directory_iterator directory(path, no_directory);
  if (no_directory) {
    append_stat(out, path);
    return out;
  }
  for (const std::string& name : yaml_names(directory)) {
    out += name;
    out += '/';  // no file name has one
    append_stat(out, path + "/" + name);
  }
  return out;
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class UvFileWatch;

/// A look at the disk on libuv's thread pool; it may outlive the watch.
struct Look {
  uv_work_t request{};
  UvFileWatch* owner = nullptr;
  std::string path;
  std::string seen;
};

class UvFileWatch final : public FileWatch {
 public:
  UvFileWatch(Loop& loop, std::string path, std::function<void()> on_change)
      : loop_(loop),
        path_(std::move(path)),
        on_change_(std::move(on_change)),
        debounce_(loop, [this] { look(); }),
        regular_(loop, [this] {
          regular_.arm(kLookEvery);
          look();
        }) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
    // Events first: a change between the two is then seen twice rather than never.
    watch_directory(parent_of(path_));
    watch_directory(path_);
    last_seen_ = fingerprint(path_);
    regular_.arm(kLookEvery);
  }

  ~UvFileWatch() override {
    if (look_ != nullptr) look_->owner = nullptr;
    for (uv_fs_event_t* const event : events_) {
      event->data = nullptr;
      uv_close(reinterpret_cast<uv_handle_t*>(event),
               [](uv_handle_t* handle) { delete reinterpret_cast<uv_fs_event_t*>(handle); });
    }
  }

 private:
  /// Best effort: without inotify (or its instances used up) the regular look remains.
  void watch_directory(const std::string& path) {
    struct stat found {};
    if (stat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) return;
    auto* const event = new uv_fs_event_t;
    HMS_ENSURE(uv_fs_event_init(loop_.raw(), event) == 0);
    event->data = this;
    events_.push_back(event);
    // Any name: a ConfigMap's change shows as a rename of "..data" only. The look tells whether it
    // was ours.
    uv_fs_event_start(
        event,
        [](uv_fs_event_t* handle, const char*, int, int) {
          auto* const self = static_cast<UvFileWatch*>(handle->data);
          if (self != nullptr) self->on_event();
        },
        path.c_str(), 0);
  }

  void on_event() {
    // Not moved by further events: a busy directory must not put the look off for ever.
    if (!debounce_.armed()) debounce_.arm(kDebounce);
  }

  void look() {
    if (look_ != nullptr) {
      look_again_ = true;
      return;
    }
    look_ = new Look;
    look_->owner = this;
    look_->path = path_;
    look_->request.data = look_;
    const int status = uv_queue_work(
        loop_.raw(), &look_->request,
        [](uv_work_t* request) {
          auto& look = *static_cast<Look*>(request->data);
          look.seen = fingerprint(look.path);
        },
        [](uv_work_t* request, int) {
          const std::unique_ptr<Look> look(static_cast<Look*>(request->data));
          if (look->owner != nullptr) look->owner->on_looked(std::move(look->seen));
        });
    HMS_ENSURE(status == 0);
  }

  void on_looked(std::string seen) {
    look_ = nullptr;
    if (std::exchange(look_again_, false)) debounce_.arm(kDebounce);
    if (seen == last_seen_) return;
    last_seen_ = std::move(seen);
    const auto on_change = on_change_;  // a copy: it may destroy this
    on_change();
  }

  Loop& loop_;
  std::string path_;
  std::function<void()> on_change_;
  Timer debounce_;
  Timer regular_;
  std::string last_seen_;
  std::vector<uv_fs_event_t*> events_;  // freed by their close callbacks
  Look* look_ = nullptr;
  bool look_again_ = false;
};

}  // namespace

std::unique_ptr<FileWatch> FileWatch::watch(Loop& loop, std::string path,
                                            std::function<void()> on_change) {
  return std::make_unique<UvFileWatch>(loop, std::move(path), std::move(on_change));
}

}  // namespace hms::net
